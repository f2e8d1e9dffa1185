//! Responses in the protocols of the AWS services.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};
use serde_json::json;
use uuid::Uuid;

use super::call::Service;
use crate::msf::{ServiceError, error_body};

pub(super) const JSON_1_1: &str = "application/x-amz-json-1.1";

/// An error response in the service's protocol. Its content type is that of the request, because the content type names
/// the version of the protocol.
pub(super) fn error_response(
    service: Service,
    error: &ServiceError,
    request: &HeaderMap,
) -> Response<Body> {
    let (code, message) = (&error.code, &error.message);
    let status = StatusCode::from_u16(error.http_status).unwrap_or(StatusCode::BAD_REQUEST);
    if service == Service::Query {
        return response_with(status, query_error(status, code, message), "text/xml");
    }
    let body = match service {
        Service::Flink => error_body(code, message),
        _ => json!({"__type": code, "message": message}),
    };
    let mut response = with_request_id(response_with(status, body.to_string(), JSON_1_1));
    let headers = response.headers_mut();
    if let Ok(code) = code.parse() {
        headers.insert("x-amzn-errortype", code);
    }
    if let Some(kind) = request.get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

pub(super) fn response_with(
    status: StatusCode,
    body: impl Into<Body>,
    kind: &'static str,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

pub(super) fn with_request_id(mut response: Response<Body>) -> Response<Body> {
    if let Ok(id) = Uuid::new_v4().to_string().parse() {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn query_error(status: StatusCode, code: &str, message: &str) -> String {
    let fault = if status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    format!(
        "<ErrorResponse><Error><Type>{fault}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        escape(code),
        escape(message),
        Uuid::new_v4()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_in_the_query_protocol_is_xml_with_escaped_text() {
        let xml = query_error(StatusCode::SERVICE_UNAVAILABLE, "Throttling", "a < b & c");
        let error =
            "<Type>Receiver</Type><Code>Throttling</Code><Message>a &lt; b &amp; c</Message>";
        assert!(xml.contains(error), "{xml}");
    }
}
