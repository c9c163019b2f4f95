"""Preference studies: people are shown pictures of different settings, blind, and say which they prefer."""
