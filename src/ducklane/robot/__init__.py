"""The field: a policy's file on robots and in the AI Driving Olympics, and shown real pictures."""
