use serde_json::json;

use super::*;

fn read(text: &str, parameters: &[(&str, &str)]) -> Result<Template> {
    let parameters = parameters.iter();
    let deployment = Deployment {
        stack: "s".to_owned(),
        region: "r".to_owned(),
        account: "1".to_owned(),
        parameters: parameters
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    Template::read(text, deployment)
}

fn example() -> Template {
    let text = "
Parameters: { Given: { Default: no }, Number: { Type: Number, Default: 7 }, Needed: { Type: String } }
Mappings: { M: { r: { K: found } } }
Conditions: { Yes: !Equals [a, a], No: !Equals [a, b] }
Resources:
  A: { Type: AWS::SQS::Queue, Condition: Yes }
  B: { Type: AWS::SQS::Queue, Condition: No }
  C: { Type: AWS::SQS::Queue }
  Role: { Type: AWS::IAM::Role }
  Machine: { Type: AWS::Serverless::StateMachine }
";
    read(text, &[("Given", "given")]).unwrap()
}

#[test]
fn values_are_resolved_as_cloudformation_resolves_them() {
    let template = example();
    for (written, expected) in [
        ("!Ref Given", "given"),
        ("!Ref Number", "7"),
        ("!Ref AWS::Region", "r"),
        ("!Ref C", "https://sqs.r.amazonaws.com/1/s-C"),
        ("!GetAtt C.Arn", "arn:aws:sqs:r:1:s-C"),
        ("!GetAtt C.QueueName", "s-C"),
        ("!Ref Role", "s-Role"),
        ("!Ref Machine", "arn:aws:states:r:1:stateMachine:s-Machine"),
        ("!Sub '${C.Name} of ${AWS::AccountId}'", "s-C of 1"),
        ("!Sub ['${A}-${Given}', { A: !Ref Number }]", "7-given"),
        ("!FindInMap [M, !Ref AWS::Region, K]", "found"),
        ("!If [Yes, !Ref Given, no]", "given"),
        ("!If [No, !Ref Given, no]", "no"),
        ("!Sub ['${Given}', { Given: mine }]", "mine"),
        ("!Join ['-', !Split [',', 'a,b']]", "a-b"),
    ] {
        let value = yaml::read(written).unwrap();
        assert_eq!(template.resolve(&value).unwrap(), expected, "{written}");
    }
    for (written, expected) in [
        ("!Equals [!Ref Number, 7]", json!(true)),
        ("!Not [!Equals [!Ref Given, no]]", json!(true)),
        ("!And [!Equals [a, a], !Equals [b, b]]", json!(true)),
        ("!And [!Equals [a, a], !Equals [a, b]]", json!(false)),
        (
            "{ a: !Ref AWS::NoValue, b: [1, !If [No, 2, !Ref AWS::NoValue]] }",
            json!({"b": [1]}),
        ),
        ("!And [{ Condition: Yes }, !Equals [a, a]]", json!(true)),
        ("!And [{ Condition: No }, !Equals [a, a]]", json!(false)),
        ("!Or [!Equals [a, b], !Equals [b, b]]", json!(true)),
        ("!Or [!Equals [a, b], !Equals [b, a]]", json!(false)),
        ("!Contains [['7', '8'], !Ref Number]", json!(true)),
        ("!Contains [[no], !Ref Given]", json!(false)),
        ("{ a: [1, !Ref Given] }", json!({"a": [1, "given"]})),
    ] {
        let value = yaml::read(written).unwrap();
        assert_eq!(template.resolve(&value).unwrap(), expected, "{written}");
    }
    let queues = template.of_type("AWS::SQS::Queue").unwrap();
    assert_eq!(
        queues,
        ["A", "C"],
        "a resource whose condition is false is left out"
    );
}

#[test]
fn the_error_names_what_cannot_be_resolved() {
    let template = example();
    for (written, complaint) in [
        ("!Ref Gone", "the template has no resource Gone"),
        ("!Sub 'a ${Gone}'", "the template has no resource Gone"),
        ("!Sub '${Given'", "a ${ has no }"),
        ("!Ref Needed", "Needed has no value"),
        ("!Cidr []", "Fn::Cidr of [] is not supported"),
        ("!Not []", "Fn::Not of [] is not supported"),
        (
            "!FindInMap [M, x, K]",
            r#"no mapping has x of ["M","x","K"]"#,
        ),
        ("!GetAtt A.Color", "the attribute A.Color is not supported"),
    ] {
        let value = yaml::read(written).unwrap();
        let refused = template.resolve(&value).unwrap_err();
        assert_eq!(refused.to_string(), complaint);
    }
}

#[test]
fn what_would_be_evaluated_wrongly_is_an_error() {
    for (text, complaint) in [
        (
            "Resources: { A: { Type: AWS::New::Thing } }",
            "A is of the type AWS::New::Thing, which is not supported",
        ),
        (
            "Globals: { Function: { Timeout: 1 } }\n\
             Resources: { A: { Type: AWS::Serverless::Function, Properties: { Timeout: 2 } } }",
            "A and Globals both have Timeout",
        ),
        ("Globals: { Api: {} }", "Globals of Api are not supported"),
    ] {
        assert_eq!(read(text, &[]).unwrap_err().to_string(), complaint);
    }
    let refused = read(TEMPLATE, &[("Typo", "")]).unwrap_err();
    assert_eq!(refused.to_string(), "the template has no parameter Typo");
}
