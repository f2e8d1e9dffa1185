"""Prints the errors that botocore's models have for operations: the code and the HTTP status of each error.

The operations are given as IAM actions.
"""

import json
import sys

from botocore.loaders import Loader

services = {'kinesisanalytics': 'kinesisanalyticsv2', 'states': 'stepfunctions'}


def errors(action):
    prefix, operation = action.split(':')
    model = Loader().load_service_model(services.get(prefix, prefix), 'service-2')
    for error in model['operations'][operation]['errors']:
        shape = model['shapes'][error['shape']]
        said = shape.get('error', {})
        status = said.get('httpStatusCode', 500 if shape.get('fault') else 400)
        yield {'code': said.get('code', error['shape']), 'status': status}


print(json.dumps({action: list(errors(action)) for action in sys.argv[1:]}))
