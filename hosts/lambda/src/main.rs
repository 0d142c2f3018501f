//! The binary `bootstrap`, the entry point on Lambda.

use std::{process::ExitCode, sync::Arc};

use lambda_runtime::{Runtime, service_fn};
use tintype_lambda::{Environment, Function, environment, init_error, invocation};

fn main() -> ExitCode {
    if let Some(ended) = tintype_codec_process::run(std::env::args_os().skip(1)) {
        return ended;
    }
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let runtime_api =
        variables.iter().find(|(name, _)| name == "AWS_LAMBDA_RUNTIME_API").map(|(_, api)| api.clone());
    let Some(runtime_api) = runtime_api else {
        eprintln!(
            "bootstrap: AWS_LAMBDA_RUNTIME_API is not set; AWS Lambda starts this program, or an emulator of it"
        );
        return 2.into();
    };
    let environment = environment::layer().and_then(|layer| Environment::new(variables, layer));
    let started = environment.and_then(|environment| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok((Arc::new(Function::new(environment)?), runtime.map_err(|error| error.to_string())?))
    });
    let (function, runtime) = match started {
        Ok(parts) => parts,
        Err(message) => {
            eprintln!("bootstrap: {message}");
            if let Err(error) = init_error::report(&runtime_api, &message) {
                eprintln!("bootstrap: the runtime API at {runtime_api} cannot be reached: {error}");
            }
            return 1.into();
        }
    };
    let handler = service_fn(move |event| invocation::handle(function.clone(), event));
    match runtime.block_on(Runtime::new(handler).run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap: the runtime API failed: {error}");
            1.into()
        }
    }
}
