//! The story of two tenants on one screen, on a real Postgres and against real peers.
//!
//! `cargo run -p quickstart [-- --docs DIR]` (DIR is `docs` where cargo does not run it): exit code 0 if
//! every promise held, 1 if one was broken,
//! 2 if the story could not be told.

mod host;
mod peer;
mod screen;
mod steps;
mod world;

use std::{path::PathBuf, process::ExitCode};

use screen::Screen;
use world::World;

type Result<T = (), E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let told = match arguments.as_slice() {
        // The peers are this program again, each in a process of its own.
        ["peer", name] => return finish(peer::serve(name).await.map(|()| true)),
        [] => tell(default_docs()).await,
        ["--docs", folder] => tell(PathBuf::from(folder)).await,
        _ => {
            eprintln!("usage: quickstart [--docs DIR]");
            return ExitCode::from(2);
        }
    };
    finish(told)
}

fn finish(told: Result<bool>) -> ExitCode {
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("\nthe story ends here: {error}");
            ExitCode::from(2)
        }
    }
}

/// This repository's own documents. Asked when it runs: a build directory that checkouts share may hold a
/// program that was compiled in another one.
fn default_docs() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => PathBuf::from(package).join("../../docs"),
        None => PathBuf::from("docs"),
    }
}

async fn tell(docs: PathBuf) -> Result<bool> {
    let mut screen = Screen::new();
    let world = World::build(&mut screen).await?;
    let people = steps::onboarding::run(&mut screen, &world).await?;
    steps::access::run(&mut screen, &world, &people).await?;
    steps::isolation::run(&mut screen, &world, &people).await?;
    let api_key = steps::secrets::run(&mut screen, &world, &people).await?;
    steps::oauth::run(&mut screen, &world, &people).await?;
    steps::tools::run(&mut screen, &world, &people, api_key).await?;
    steps::batch::run(&mut screen, &world, &people).await?;
    steps::knowledge::run(&mut screen, &world, &people, &docs).await?;
    steps::trail::run(&mut screen, &world, &people).await?;
    steps::doctor::run(&mut screen, &world).await?;
    Ok(screen.summary())
}
