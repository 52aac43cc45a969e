//! Documents, and who gets what out of them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tenancy::{
    core::{Authorizer as _, RoleKey, TenantCtx},
    rag::{
        DocUri, FolderOptions, HashEmbedder, IndexOptions, Ingestor, MediaType, MemoryBytes,
        NewDocument, RetrieveOptions, Retrieved, Retriever, SourceId, SourceName,
        build_tenant_index, index_health,
    },
};

use super::onboarding::People;
use crate::{
    Result, Screen, World,
    host::{ADMIN, SUPPORT},
};

const OWNER: RoleKey = RoleKey::from_static("owner");
const MEMBER: RoleKey = RoleKey::from_static("member");
const QUESTION: &str = "who may rotate the emergency signing key?";
const RUNBOOK: &str = "# Emergency runbook\n\nOnly the two founders may rotate the emergency signing \
    key, and only together, with the sealed envelope from the safe.\n";

pub(crate) async fn run(
    screen: &mut Screen,
    world: &World,
    people: &People,
    docs: &Path,
) -> Result {
    screen.step("A knowledge base");
    let embedder = Arc::new(HashEmbedder::full());
    let (authz, audit) = (world.authz.clone(), world.audit.clone());
    let ingestor = Ingestor::new(
        world.db.clone(),
        embedder.clone(),
        authz.clone(),
        audit.clone(),
    );
    let retriever = Retriever::new(world.db.clone(), embedder, authz, audit);

    let source = ingestor
        .source(&people.ada, &SourceName::parse("handbook")?)
        .await?;
    ingest(screen, people, &ingestor, source, docs).await?;
    runbook(&ingestor, people, source).await?;
    ask(screen, world, people, &retriever).await?;

    screen.ask("build acme's own vector index, without blocking writes");
    build_tenant_index(
        &world.operator,
        people.ada.tenant(),
        &IndexOptions::default(),
    )
    .await?;
    let indexes = index_health(&world.operator).await?;
    for index in &indexes {
        screen.got(format!("{}: valid {}", index.name, index.valid));
    }
    let healthy = !indexes.is_empty() && indexes.iter().all(|index| index.valid);
    screen.promise("the vector index is there and valid", healthy);
    Ok(())
}

/// Everybody's documents: the folder.
async fn ingest(
    screen: &mut Screen,
    people: &People,
    ingestor: &Ingestor,
    source: SourceId,
    docs: &Path,
) -> Result {
    screen.ask(format!("ingest the documents in {}", shown(docs)));
    let files = std::fs::read_dir(docs)?.count();
    let bar = Screen::bar(u64::try_from(files)?, "files");
    let calls = AtomicU64::new(0);
    let watch = |_: &str, progress: tenancy::rag::Progress| {
        if progress.stage.is_final() {
            bar.inc(1);
        }
        calls.fetch_max(
            u64::try_from(progress.calls).unwrap_or_default(),
            Ordering::Relaxed,
        );
    };
    let options = FolderOptions::new(source, [OWNER, ADMIN, MEMBER, SUPPORT]);
    let first = ingestor
        .ingest_folder(&people.ada, docs, &options, &watch)
        .await?;
    bar.finish();
    let chunks: i32 = first.ingested.iter().map(|(_, done)| done.chunks).sum();
    screen.got(format!(
        "{} documents, {chunks} chunks, {} failed, {} skipped",
        first.ingested.len(),
        first.failed.len(),
        first.skipped.len()
    ));
    screen.promise(
        "the folder is ingested",
        first.failed.is_empty() && chunks > 0,
    );
    let again = ingestor
        .ingest_folder(&people.ada, docs, &options, &|_, _| {})
        .await?;
    let embedded: i32 = again.ingested.iter().map(|(_, done)| done.embedded).sum();
    screen.promise("ingested again, nothing is embedded anew", embedded == 0);
    Ok(())
}

/// One document for admins only.
async fn runbook(ingestor: &Ingestor, people: &People, source: SourceId) -> Result {
    let uri = DocUri::parse("emergency-runbook.md")?;
    let document = NewDocument::new(source, uri, MediaType::markdown(), [OWNER, ADMIN])?;
    let mut bytes = MemoryBytes::new(RUNBOOK.as_bytes());
    ingestor
        .ingest(&people.ada, document, &mut bytes, &|_| {})
        .await?;
    Ok(())
}

/// The same question by different people.
async fn ask(screen: &mut Screen, world: &World, people: &People, retriever: &Retriever) -> Result {
    let mut answers = Vec::new();
    for (who, ctx) in [
        ("ada (owner)", &people.ada),
        ("bob (support)", &people.bob),
        ("eve (globex)", &people.eve),
    ] {
        screen.ask(format!("{who}: {QUESTION}"));
        let options = RetrieveOptions::default().with_k(3);
        let found = retriever.retrieve(ctx, QUESTION, options).await?;
        show(screen, &found);
        answers.push(found);
    }
    let secret = |found: &Retrieved| {
        found
            .hits
            .iter()
            .any(|hit| hit.citation.uri.contains("runbook"))
    };
    let [admin, support, other] = answers.as_slice() else {
        return Err("three were asked".into());
    };
    screen.promise("the owner gets the admin-only passage, support never", {
        secret(admin) && !secret(support) && !support.hits.is_empty()
    });
    screen.promise("the other tenant gets nothing", other.hits.is_empty());

    let mut exact = true;
    for hit in &admin.hits {
        let passage = retriever.open_citation(&people.ada, &hit.citation).await?;
        exact &= passage.text == hit.text;
    }
    screen.promise("each citation opens the exact bytes", exact);
    forget_everything(screen, world, &people.bob).await
}

/// A host's own SQL that forgets every predicate.
async fn forget_everything(screen: &mut Screen, world: &World, bob: &TenantCtx) -> Result {
    let query =
        "SELECT count(*), count(*) FILTER (WHERE content LIKE '%founders%') FROM tenancy.kb_chunks";
    screen.ask(format!("bob's own SQL, with nothing but {query}"));
    let mut tx = world.db.read(bob).await?;
    let (unbound, _): (i64, i64) = sqlx::query_as(query).fetch_one(&mut *tx).await?;
    let roles = world.authz.roles_in(&mut tx).await?;
    tx.bind_roles(&roles).await?;
    let (all, secret): (i64, i64) = sqlx::query_as(query).fetch_one(&mut *tx).await?;
    screen.got(format!(
        "{unbound} rows; with his roles bound, {all} of which {secret} admin-only"
    ));
    screen.promise(
        "not even SQL that forgets everything shows support an admin's passage",
        unbound == 0 && all > 0 && secret == 0,
    );
    Ok(())
}

fn show(screen: &Screen, found: &Retrieved) {
    if found.hits.is_empty() {
        screen.got("nothing");
    }
    for hit in &found.hits {
        let line = hit.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = line.chars().take(64).collect();
        let bytes = &hit.citation.bytes;
        screen.got(format!(
            "{:.2} {}[{}..{}] {short}…",
            hit.score, hit.citation.uri, bytes.start, bytes.end
        ));
    }
}

fn shown(docs: &Path) -> String {
    docs.file_name().map_or_else(
        || "the folder".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
