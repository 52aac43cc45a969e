//! How often a call goes to the database and back, counted on the wire.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tenancy_core::{DbOptions, TenantDb, testing::FakeAuthorizer};
use tenancy_mcp::{
    EffectClass, InvokeOptions, Provider, ToolDefinition, ToolRouter, testing::FakeTransport,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::common::{OneSecret, Result, SMARTLEAD, World, connect, quick};

/// Stands between a pool and its server, and counts the turns: messages of the client behind an
/// answer of the server.
struct Counter {
    url: String,
    turns: Arc<AtomicU64>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The server behind a URL: a socket's folder, percent-encoded, or a host.
async fn server(place: &str) -> std::io::Result<Box<dyn Stream>> {
    let (host, port) = place.rsplit_once(':').unwrap_or((place, "5432"));
    if host.starts_with("%2F") {
        let path = format!("{}/.s.PGSQL.{port}", host.replace("%2F", "/"));
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    Ok(Box::new(
        TcpStream::connect((host, port.parse().unwrap_or(5432))).await?,
    ))
}

impl Counter {
    async fn before(url: &str) -> Result<Self> {
        let (front, behind) = url.split_once('@').ok_or("the URL names no login")?;
        let (place, database) = behind.split_once('/').ok_or("the URL names no database")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?;
        let (place, turns) = (place.to_owned(), Arc::new(AtomicU64::new(0)));
        let counted = turns.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (place, turns) = (place.clone(), counted.clone());
                tokio::spawn(async move { relay(client, server(&place).await?, &turns).await });
            }
        });
        Ok(Self {
            url: format!("{front}@{own}/{database}"),
            turns,
        })
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: Box<dyn Stream>,
    turns: &AtomicU64,
) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut client_is_next = true;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read? {
                0 => return Ok(()),
                n => {
                    if std::mem::take(&mut client_is_next) {
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                    server.write_all(asked.get(..n).unwrap_or_default()).await?;
                }
            },
            read = server.read(&mut answered) => match read? {
                0 => return Ok(()),
                n => {
                    client_is_next = true;
                    client.write_all(answered.get(..n).unwrap_or_default()).await?;
                }
            },
        }
    }
}

#[tokio::test]
async fn a_recorded_call_and_a_replay_go_to_the_database_this_often() -> Result {
    let world = World::new().await?;
    let provider = Provider::http(SMARTLEAD, "Fake", "https://fake.example/mcp")?;
    world.catalog(&[provider]).await?;
    let fake = FakeTransport::offering(vec![ToolDefinition::new("t", json!({"type": "object"}))]);
    let counter = Counter::before(world.kit.server.app_url()).await?;
    // One connection, so that its statements are prepared once and for all.
    let one = DbOptions::default().with_max_connections(1);
    let router = ToolRouter::builder(
        TenantDb::connect_with(&counter.url, one).await?,
        Arc::new(fake),
    )
    .authorizer(Arc::new(FakeAuthorizer::allowing_all()))
    .credentials(Arc::new(OneSecret("x".to_owned())))
    .audit(Arc::new(world.audit.clone()))
    .build()?;
    let ctx = world.tenant().await?;
    connect(
        &router.registry(),
        &ctx,
        SMARTLEAD,
        &[("t", EffectClass::Unsafe)],
    )
    .await?;
    let call =
        |options: InvokeOptions| router.invoke_mcp_tool(&ctx, "smartlead.t", json!({}), options);
    // Statements are prepared, sessions are open.
    for n in 0..3 {
        call(quick(&format!("warm{n}"))).await?;
    }
    let turns_of = async |key: &str| -> Result<u64> {
        // What ends in the background ends before it is counted.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = counter.turns.load(Ordering::SeqCst);
        call(quick(key)).await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(counter.turns.load(Ordering::SeqCst) - before)
    };
    let (new, replay) = (turns_of("new").await?, turns_of("new").await?);
    println!("turns: {new} for a new call, {replay} for a replay");
    // Twenty and ten, with tool and key looked up in a transaction each.
    assert!(new < 20 && replay < 10, "{new} {replay}");
    Ok(())
}
