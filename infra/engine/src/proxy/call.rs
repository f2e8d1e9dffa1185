//! Finds out what a request calls: the service and the operation, and in terms of IAM, the action and the resource.

use axum::http::{HeaderMap, header};
use serde_json::Value;
use stack::{ACCOUNT, REGION};

use crate::permissions::Access;

/// The kind of service that a request is for. The format of error responses depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Flink,
    /// Another service that uses the JSON protocol.
    Json,
    /// A service that uses the query protocol.
    Query,
    /// Anything else, such as S3 and Lambda.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) service: Service,
    pub(super) operation: String,
}

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

/// The operation of a request in the query protocol. It needs no decoding, because names of operations have only
/// letters.
fn query_action<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return None;
    }
    let form = std::str::from_utf8(body).ok()?;
    form.split('&')
        .find_map(|field| field.strip_prefix("Action="))
}

/// The IAM action and resource of a call. The prefix of the action is the service for which the request is signed. If
/// the request names no resource, the resource is `*`.
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
        ..Access::default()
    }
}

/// Whether a call may change what a role allows. A call to IAM or `CloudFormation` may, unless it only reads.
pub(super) fn may_change_roles(access: &Access) -> bool {
    let (service, operation) = access.action.split_once(':').unwrap_or_default();
    let only_reads = ["Describe", "Get", "List"];
    matches!(service, "iam" | "cloudformation")
        && !only_reads.iter().any(|verb| operation.starts_with(verb))
}

/// The uses of an application's customer managed key that a snapshot needs. Managed Flink uses the key with the
/// permissions of the caller.
pub(super) fn uses_of_key(key_arn: &str, application_arn: &str) -> [Access; 5] {
    let via = format!("kinesisanalytics.{REGION}.amazonaws.com");
    let encryption_context = "kms:EncryptionContext:aws:kinesisanalytics:arn";
    let context = [
        ("kms:ViaService", via.as_str()),
        (encryption_context, application_arn),
    ];
    let grant = [
        ("kms:GrantConstraintType", "EncryptionContextSubset"),
        ("kms:GrantOperations", "Decrypt"),
    ];
    [
        ("kms:DescribeKey", &[][..]),
        ("kms:Decrypt", &[]),
        ("kms:GenerateDataKey", &[]),
        ("kms:GenerateDataKeyWithoutPlaintext", &[]),
        ("kms:CreateGrant", &grant),
    ]
    .map(|(action, more)| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Access {
            action: action.to_owned(),
            resource: key_arn.to_owned(),
            context: context.iter().chain(more).map(owned).collect(),
            ..Access::default()
        }
    })
}

/// The partition key of the item in a call to `DynamoDB`, for IAM's context key `dynamodb:LeadingKeys`. The key schema
/// is not needed: in the table of the stack, only the partition key is a string.
fn leading_keys(key: &Value) -> Vec<String> {
    let attributes = key.as_object().into_iter().flatten();
    attributes
        .filter_map(|(_, value)| value["S"].as_str().map(str::to_owned))
        .collect()
}

/// The Region and the service in the credential scope of the request's signature.
fn signed_for(headers: &HeaderMap) -> Option<(&str, &str)> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    let mut scope = credential.split('/').skip(2);
    Some((scope.next()?, scope.next()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Service::{Flink, Json, Other, Query};
    use super::*;

    fn headers(name: &str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn the_target_header_or_the_form_tells_the_service_and_the_operation() {
        let flink = "KinesisAnalytics_20180523.CreateApplicationSnapshot";
        let dynamodb = "DynamoDB_20120810.UpdateItem";
        let target = |target: &str| headers("x-amz-target", target);
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        let form = headers("content-type", form);
        let publish = "Version=2010-03-31&Action=Publish&Message=x";
        for (headers, body, service, operation) in [
            (target(flink), "", Flink, "CreateApplicationSnapshot"),
            (target(dynamodb), "", Json, "UpdateItem"),
            (form, publish, Query, "Publish"),
            (HeaderMap::new(), publish, Other, ""),
        ] {
            let call = classify(&headers, body.as_bytes());
            let operation = operation.to_owned();
            assert_eq!(call, Call { service, operation }, "{headers:?}");
        }
    }

    fn access_of(service: &str, body: &str) -> Access {
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential=k/20261122/r/{service}/aws4_request, SignedHeaders=host"
        );
        let call = Call {
            service: Json,
            operation: "Do".to_owned(),
        };
        let headers = headers("authorization", &signature);
        access(&call, &headers, body.as_bytes())
    }

    #[test]
    fn a_call_has_an_iam_action_and_a_resource() {
        let own = |service: &str, rest: &str| format!("arn:aws:{service}:r:123456789012:{rest}");
        for (service, field, value, rest) in [
            ("kinesisanalytics", "ApplicationName", "a", "application/a"),
            ("kinesisanalytics", "Other", "a", "*"),
            ("dynamodb", "TableName", "t", "table/t"),
            ("sqs", "QueueUrl", "http://x/1/q", "q"),
            ("other", "TableName", "t", "*"),
        ] {
            let expected = Access {
                action: format!("{service}:Do"),
                resource: own(service, rest),
                ..Access::default()
            };
            let body = json!({ field: value }).to_string();
            assert_eq!(access_of(service, &body), expected);
        }
        let others = own("other", "*");
        for (service, body, resource) in [
            ("states", r#"{"executionArn":"arn:e"}"#, "arn:e"),
            ("sns", "Action=Do&TopicArn=arn%3Aaws%3At", "arn:aws:t"),
            ("other", "not JSON", others.as_str()),
        ] {
            assert_eq!(access_of(service, body).resource, resource);
        }
        let body = r#"{"TableName":"t","Key":{"app_name":{"S":"orders"},"run":{"N":"1"}}}"#;
        assert_eq!(access_of("dynamodb", body).leading_keys, ["orders"]);
    }
}
