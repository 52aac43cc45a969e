//! The development database by hand.

use std::process::{Command, ExitCode};

use tenancy_devdb::{BoxError, DevDb};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match act(&words).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tenancy-devdb: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn act(words: &[String]) -> Result<ExitCode, BoxError> {
    let (verb, rest) = words
        .split_first()
        .map_or(("help", &[][..]), |(v, r)| (v.as_str(), r));
    match verb {
        "clean" => clean().await,
        "serve" => serve().await,
        "psql" => psql(rest).await,
        "run" => run(rest).await,
        _ => {
            println!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}

async fn serve() -> Result<ExitCode, BoxError> {
    let dev = DevDb::start().await?;
    println!("operator {}", dev.operator_url());
    println!("app      {}", dev.app_url());
    println!("worker   {}", dev.worker_url());
    // The server lives while this process does.
    std::future::pending().await
}

async fn clean() -> Result<ExitCode, BoxError> {
    for dir in DevDb::clean().await? {
        println!("removed {}", dir.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn psql(arguments: &[String]) -> Result<ExitCode, BoxError> {
    let dev = DevDb::start().await?;
    let program = dev.program("psql").unwrap_or_else(|| "psql".into());
    wait_for(
        Command::new(program)
            .arg(dev.operator_url())
            .args(arguments),
    )
}

async fn run(words: &[String]) -> Result<ExitCode, BoxError> {
    let words = words.strip_prefix(&["--".to_owned()]).unwrap_or(words);
    let (program, arguments) = words.split_first().ok_or("run what?")?;
    let dev = DevDb::start().await?;
    let mut command = Command::new(program);
    command.args(arguments).env("DATABASE_URL", dev.app_url());
    command.env("TENANCY_DATABASE_URL", dev.operator_url());
    command.env("TENANCY_APP_DATABASE_URL", dev.app_url());
    command.env("TENANCY_WORKER_DATABASE_URL", dev.worker_url());
    wait_for(&mut command)
}

fn wait_for(command: &mut Command) -> Result<ExitCode, BoxError> {
    let status = command.status()?;
    let code = status.code().and_then(|c| u8::try_from(c).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

const USAGE: &str = "usage: tenancy-devdb serve            keep a server alive and print its URLs
       tenancy-devdb psql [ARGUMENT]  open its default database
       tenancy-devdb run -- COMMAND   run a command with TENANCY_DATABASE_URL and DATABASE_URL
       tenancy-devdb clean            remove the clusters whose server does not run";
