//! Measures the family against its goals and its peers: `tenancy-bench <area>`.

mod area;
mod report;
mod sample;

use std::process::ExitCode;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = match arguments.as_slice() {
        ["audit", "events"] => area::audit::events().await,
        ["audit", "lag"] => area::audit::lag().await,
        ["audit", "search"] => area::audit::search().await,
        ["audit", "seals"] => area::audit::seals().await,
        ["soak", "audit", rest @ ..] => area::audit::soak(rest.first().copied()),
        ["audit", "writes"] => area::audit::writes().await,
        ["authz", rest @ ..] => match area::authz::run(rest).await {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        ["core"] => area::core::run().await,
        ["soak", rest @ ..] => area::soak::run(rest.first().copied(), rest.get(1).copied()).await,
        ["devdb"] => area::devdb::run().await,
        // One start in a process of its own, whose end takes the server along.
        ["devdb-start", cache] => area::devdb::start_once(cache).await,
        _ => {
            eprintln!(
                "usage: tenancy-bench audit (events|lag|search|seals|writes)|authz [--gate] [checks]|core|devdb|soak [cancels [seed]]|soak audit [seed]"
            );
            return ExitCode::from(2);
        }
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
