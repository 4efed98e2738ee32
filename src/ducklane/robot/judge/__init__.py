"""The AI Driving Olympics' own simulator node as a judge: scenarios, drives over its protocol, scores."""
