"""Writes SAM's translation of a template into a file. Arguments: the template, the file."""

import sys
from pathlib import Path

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse


class NoManagedPolicies:
    """The template uses no managed policy. To load the list of managed policies from AWS would need an account."""

    def load(self):
        return {}


source, target = map(Path, sys.argv[1:])
template = yaml_parse(source.read_text(encoding="utf-8"))
validator = SamTemplateValidator(template, NoManagedPolicies(), region="us-east-1")
target.write_text(validator.get_translated_template_if_valid(), encoding="utf-8")
