"""Stands in for the reference's package: promises written against it run against this one, too."""
