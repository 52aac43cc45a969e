use std::sync::{Arc, atomic::Ordering};

use tenancy_core::{
    ErrorKind, JobHandler as _, JobRun,
    testing::{MemoryJobs, NoProgress},
};
use tenancy_rag::{Error, IngestHandler, IngestLimits, MemoryBytes, RetrieveOptions, Stage};

use crate::common::{World, new};

#[tokio::test]
async fn an_upload_leaves_a_job_and_the_job_makes_it_a_document() {
    let world = World::new().await;
    let jobs = MemoryJobs::new();
    let ingestor = world.ingestor().with_jobs(Arc::new(jobs.clone()));
    let document = new(world.source(&world.admin).await, "a.md", &["admin"]);
    let id = ingestor
        .upload(&world.admin, document, &mut MemoryBytes::new("Some words."))
        .await
        .unwrap();
    assert_eq!(
        ingestor.get(&world.admin, id).await.unwrap().progress.stage,
        Stage::Queued
    );
    let (tenant, job, new) = jobs.jobs().pop().unwrap();
    assert_eq!(
        (tenant, new.kind),
        (world.admin.tenant(), IngestHandler::KIND)
    );

    let handler = IngestHandler::new(ingestor.clone());
    let run = JobRun::new(job, 1, new.payload, Arc::new(NoProgress));
    let done = handler.run(&world.admin, &run).await.unwrap();
    assert_eq!(done["version"], 1);
    // At least once: the second run of the same job is the first one's answer.
    assert_eq!(handler.run(&world.admin, &run).await.unwrap(), done);
    assert_eq!(
        ingestor.get(&world.admin, id).await.unwrap().progress.stage,
        Stage::Done
    );
}

#[tokio::test]
async fn a_try_that_may_pass_is_left_for_the_next_which_asks_for_no_vector_twice() {
    let world = World::new().await;
    let jobs = MemoryJobs::new();
    let limits = IngestLimits::default().with_batch(1).with_attempts(1);
    let chunker = Arc::new(tenancy_rag::SplitterChunker::new(20));
    let ingestor = world
        .ingestor()
        .with_jobs(Arc::new(jobs.clone()))
        .with_limits(limits)
        .with_chunker(chunker);
    let document = new(world.source(&world.admin).await, "a.txt", &["admin"]);
    let text = "First paragraph.\n\nSecond paragraph.\n\nThird paragraph.";
    ingestor
        .upload(&world.admin, document, &mut MemoryBytes::new(text))
        .await
        .unwrap();
    let (_, job, new) = jobs.jobs().pop().unwrap();
    let handler = IngestHandler::new(ingestor);
    let run = JobRun::new(job, 1, new.payload, Arc::new(NoProgress));

    // The first of three gets its vector, then the service is gone.
    let first = tenancy_rag::HashEmbedder::full().vector("First paragraph.");
    world.embedder.answer_next(Ok(vec![first]));
    world.embedder.answer_next(Err(Error::new(
        tenancy_rag::ErrorKind::Unavailable,
        "test",
        "gone",
    )));
    let error = handler.run(&world.admin, &run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.retry().is_retryable());
    let calls = world.embedder.calls.load(Ordering::SeqCst);
    assert_eq!(handler.run(&world.admin, &run).await.unwrap()["chunks"], 3);
    assert_eq!(world.embedder.calls.load(Ordering::SeqCst) - calls, 2);
}

#[tokio::test]
async fn a_document_that_can_not_be_read_ends_its_job_and_says_why() {
    let world = World::new().await;
    let jobs = MemoryJobs::new();
    let ingestor = world.ingestor().with_jobs(Arc::new(jobs.clone()));
    let document = new(world.source(&world.admin).await, "a.md", &["admin"]);
    let id = ingestor
        .upload(&world.admin, document, &mut MemoryBytes::new(vec![0xff]))
        .await
        .unwrap();
    let (_, job, new) = jobs.jobs().pop().unwrap();
    let run = JobRun::new(job, 1, new.payload, Arc::new(NoProgress));
    let error = IngestHandler::new(ingestor.clone())
        .run(&world.admin, &run)
        .await
        .unwrap_err();
    assert!(!error.retry().is_retryable());
    let known = ingestor.get(&world.admin, id).await.unwrap();
    assert_eq!(known.failure.unwrap().code, "document_not_utf8");
    assert_eq!(world.leftovers(world.admin.tenant()).await, 0);
    assert!(
        world
            .retriever()
            .retrieve(&world.admin, "x", RetrieveOptions::default())
            .await
            .unwrap()
            .hits
            .is_empty()
    );
}
