//! The S3 store passes the conformance suite, against the endpoint in the environment. e2e/test_s3_store.py runs it on
//! moto_server and on Tintype.

use tintype_stores::{
    conformance,
    s3::{Connection, S3Store},
};

#[tokio::test]
#[ignore = "needs an S3 endpoint: scripts/test e2e -- -k s3_store"]
async fn conforms() {
    let connection = Connection::from_environment(|name| std::env::var(name).ok());
    let connection = connection.expect("the environment names an endpoint and credentials");
    assert!(connection.s3_endpoint.is_some(), "AWS_ENDPOINT_URL_S3 is set: never against S3 itself");
    conformance::run(&S3Store::new(&connection)).await;
}
