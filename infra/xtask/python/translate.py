"""Prints the CloudFormation template that SAM makes of the template in the file of the first argument."""

import sys
from pathlib import Path

from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse


class NoManagedPolicies:
    """The template names none, and asking AWS for them would need an account."""

    def load(self):
        return {}


template = yaml_parse(Path(sys.argv[1]).read_text(encoding="utf-8"))
print(SamTemplateValidator(template, NoManagedPolicies(), region="us-east-1").get_translated_template_if_valid())
