//! What a request calls: the service and the operation, and the action and resource of IAM.

use axum::http::{HeaderMap, header};
use serde_json::Value;
use stack::ACCOUNT;

use crate::permissions::Access;

/// The service that a request is for. It decides how errors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Flink,
    /// Another service of the JSON protocol.
    Json,
    /// A service of the query protocol.
    Query,
    /// Anything else, such as S3 and Lambda.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) operation: String,
}

/// The service and operation of a request.
pub(super) fn classify(headers: &HeaderMap, body: &[u8]) -> Call {
    let call = |service, operation: &str| Call {
        service,
        operation: operation.to_owned(),
    };
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.rsplit_once('.'));
    match target {
        Some(("KinesisAnalytics_20180523", operation)) => call(Service::Flink, operation),
        Some((_, operation)) => call(Service::Json, operation),
        None => match query_action(headers, body) {
            Some(operation) => call(Service::Query, operation),
            None => call(Service::Other, ""),
        },
    }
}

/// The operation of a request of the query protocol. Names of operations need no decoding.
fn query_action<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    let form = std::str::from_utf8(body).ok()?;
    form.split('&')
        .find_map(|field| field.strip_prefix("Action="))
}

/// What a call does, in IAM's terms. IAM's name of a service is the one that calls are signed for. A call without a
/// resource is for all resources.
pub(super) fn access(call: &Call, headers: &HeaderMap, body: &[u8]) -> Access {
    let (region, service) = signed_for(headers).unwrap_or_default();
    let input: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| input[name].as_str().map(str::to_owned);
    let arn = |rest: &str| format!("arn:aws:{service}:{region}:{ACCOUNT}:{rest}");
    let resource = match service {
        "kinesisanalytics" => {
            field("ApplicationName").map(|name| arn(&format!("application/{name}")))
        }
        "dynamodb" => field("TableName").map(|name| arn(&format!("table/{name}"))),
        "states" => field("executionArn").or_else(|| field("stateMachineArn")),
        "sqs" => field("QueueUrl").and_then(|url| Some(arn(url.rsplit_once('/')?.1))),
        "sns" => form_urlencoded::parse(body)
            .find_map(|(name, value)| (name == "TopicArn").then(|| value.into_owned())),
        _ => None,
    };
    Access {
        action: format!("{service}:{}", call.operation),
        resource: resource.unwrap_or_else(|| arn("*")),
        leading_keys: leading_keys(&input["Key"]),
    }
}

/// The partition key of the item in a call of `DynamoDB`, the context key `dynamodb:LeadingKeys`. The key schema is not
/// needed: in our table, only the partition key is a string.
fn leading_keys(key: &Value) -> Vec<String> {
    let attributes = key.as_object().into_iter().flatten();
    attributes
        .filter_map(|(_, value)| value["S"].as_str().map(str::to_owned))
        .collect()
}

/// Region and service in the scope of a request's signature.
fn signed_for(headers: &HeaderMap) -> Option<(&str, &str)> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_request_is_classified_by_target_and_form() {
        let form = (
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
        let target = |target| vec![("x-amz-target", target)];
        let publish = "Version=2010-03-31&Action=Publish&Message=x";
        for (pairs, body, service, operation) in [
            (
                target("KinesisAnalytics_20180523.CreateApplicationSnapshot"),
                "",
                Service::Flink,
                "CreateApplicationSnapshot",
            ),
            (
                target("DynamoDB_20120810.UpdateItem"),
                "",
                Service::Json,
                "UpdateItem",
            ),
            (vec![form], publish, Service::Query, "Publish"),
            (vec![], "Action=Publish", Service::Other, ""),
        ] {
            let call = classify(&headers(&pairs), body.as_bytes());
            let operation = operation.to_owned();
            assert_eq!(call, Call { service, operation }, "{pairs:?}");
        }
    }

    #[test]
    fn a_call_is_an_action_on_a_resource_in_iams_terms() {
        let signed = |service: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential=k/20261122/r/{service}/aws4_request, SignedHeaders=host"
            );
            headers(&[("authorization", &value)])
        };
        for (service, operation, body, resource) in [
            (
                "kinesisanalytics",
                "DescribeApplication",
                r#"{"ApplicationName":"a"}"#,
                "arn:aws:kinesisanalytics:r:123456789012:application/a",
            ),
            (
                "dynamodb",
                "UpdateItem",
                r#"{"TableName":"t"}"#,
                "arn:aws:dynamodb:r:123456789012:table/t",
            ),
            (
                "states",
                "GetExecutionHistory",
                r#"{"executionArn":"arn:e"}"#,
                "arn:e",
            ),
            (
                "sqs",
                "SendMessage",
                r#"{"QueueUrl":"http://x/1/q"}"#,
                "arn:aws:sqs:r:123456789012:q",
            ),
            (
                "sns",
                "Publish",
                "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3At",
                "arn:aws:sns:r:1:t",
            ),
            (
                "kinesisanalytics",
                "ListApplications",
                "{}",
                "arn:aws:kinesisanalytics:r:123456789012:*",
            ),
            ("other", "Do", "not JSON", "arn:aws:other:r:123456789012:*"),
        ] {
            let call = Call {
                service: Service::Json,
                operation: operation.to_owned(),
            };
            let expected = Access {
                action: format!("{service}:{operation}"),
                resource: resource.to_owned(),
                leading_keys: Vec::new(),
            };
            assert_eq!(access(&call, &signed(service), body.as_bytes()), expected);
        }
        let call = Call {
            service: Service::Json,
            operation: "UpdateItem".to_owned(),
        };
        let body = r#"{"TableName":"t","Key":{"app_name":{"S":"orders"},"run":{"N":"1"}}}"#;
        let update = access(&call, &signed("dynamodb"), body.as_bytes());
        assert_eq!(update.leading_keys, ["orders"]);
    }
}
