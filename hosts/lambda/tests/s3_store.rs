//! The port on S3 does what every store must do. It runs against the S3 endpoint that the environment names,
//! which e2e/test_lambda_store.py sets up: moto_server, and Tintype's own.

use tintype_lambda::{Environment, S3Store, clients};
use tintype_pipeline::store::conformance;

#[tokio::test]
#[ignore = "needs an S3 endpoint: scripts/test e2e -- -k lambda_store"]
async fn conforms() {
    let mut variables: Vec<(String, String)> =
        std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    variables.push(("AWS_LAMBDA_FUNCTION_NAME".into(), "Thumbnails".into()));
    variables.push(("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".into(), "128".into()));
    let environment = Environment::new(variables).expect("the environment names an endpoint and credentials");
    assert!(environment.aws.s3_endpoint.is_some(), "AWS_ENDPOINT_URL_S3 is set: never against S3 itself");
    conformance::run(&S3Store::new(clients::s3(&environment.aws))).await;
}
