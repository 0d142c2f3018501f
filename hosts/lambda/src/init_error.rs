//! Reports to Lambda why the process cannot start, so that callers of the function see the reason.
//! Source: AWS, "Using the Lambda runtime API for custom runtimes": initialization error.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

/// The runtime API is local.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Posts the error to the runtime API at `address`.
///
/// # Errors
/// The runtime API cannot be reached.
pub fn report(address: &str, message: &str) -> io::Result<()> {
    let body =
        json!({"errorType": "Tintype.Settings", "errorMessage": message, "stackTrace": []}).to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: Tintype.Settings\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    // The response confirms that the error was received.
    stream.read(&mut [0; 64]).map(drop)
}
