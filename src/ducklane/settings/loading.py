"""Reading params.yaml into settings.

`load` refuses a file that is not exactly right with a `SettingsError`: one line per problem, naming the
key, the value and what is allowed. Nothing else of the project needs to be imported or started to find out
that the settings are wrong.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ducklane.settings.refusals import SettingsError, problems, shown
from ducklane.settings.schema import Settings

PARAMS_FILE = Path("params.yaml")


def load(path: Path = PARAMS_FILE) -> Settings:
    """Read and validate a settings file.

    Raises:
        SettingsError: the file is missing, is not YAML, or any key in it is invalid.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        problem = "is empty" if content is None else f"holds {shown(content)}"
        raise SettingsError(f"{path}: {problem}; give the sections {', '.join(Settings.model_fields)}")
    try:
        return Settings.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError(*(f"{path}: {problem}" for problem in problems(error, Settings))) from None


def read_yaml(path: Path) -> object:
    """The content of a YAML file.

    Raises:
        SettingsError: the file is missing or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; run this in the repository's root") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give a readable file") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: byte {error.start} is not UTF-8 text; save the file as UTF-8") from None
    try:
        return YAML(typ="safe", pure=True).load(text)
    except DuplicateKeyError as error:
        problem = str(error.problem).split(" with value")[0].removeprefix("found ")
        raise SettingsError(f"{path}:{_line(error)}: {problem}; keep one of the two") from None
    except MarkedYAMLError as error:
        problem = _one_line(error.problem)
        cure = "use spaces, not tabs" if r"'\t'" in problem else "fix it"
        raise SettingsError(f"{path}:{_line(error)}: is not YAML ({problem}); {cure}") from None
    except (YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: is not YAML ({_one_line(error)}); fix it") from None
    except RecursionError:
        raise SettingsError(f"{path}: is nested too deeply; make it flatter") from None


def _line(error: MarkedYAMLError) -> int | str:
    return error.problem_mark.line + 1 if error.problem_mark else "?"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
