//! Tokio's task hooks:
//! `RUSTFLAGS="--cfg tokio_unstable" cargo test -p loiter-registry --features tokio-hooks --test hooks`
#![cfg(tokio_unstable)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Reader;
use loiter_registry::{AwaitExt, current_id, hooks, tokio as tasks};

/// Both tests look at the one main registry.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn what_is_spawned_without_the_wrappers_is_registered_once() {
    let _alone = ALONE.lock();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = hooks::install(builder.worker_threads(2)).build().unwrap();
    let reader = Reader::main();
    runtime.block_on(async {
        let (send, receive) = tokio::sync::oneshot::channel();
        let line = line!() + 1;
        let outer = tokio::spawn(async {
            let inner = tokio::spawn(std::future::pending::<()>().at("inner place"));
            let wrapped = tasks::spawn_named("wrapped", async { std::future::pending::<()>().await });
            send.send((current_id(), inner, wrapped)).unwrap();
            std::future::pending::<()>().at("outer place").await;
        });
        let (outer_id, inner, wrapped) = receive.await.unwrap();
        while reader.tasks().iter().any(|task| task.state != 3) {
            tokio::task::yield_now().await;
        }
        let read = reader.tasks();
        assert_eq!(read.len(), 3, "{read:#?}");
        let outer_read = reader.task(outer_id.unwrap());
        assert_eq!((outer_read.place.file.as_str(), outer_read.place.line), (file!(), line));
        assert_eq!((outer_read.stack(), outer_read.polls), (vec!["outer place".to_owned()], 1));
        let inner_read = read.iter().find(|task| task.place.line == line + 1).unwrap();
        assert_eq!((inner_read.parent, inner_read.stack()), (outer_read.id, vec!["inner place".to_owned()]));
        assert_eq!(reader.named("wrapped").parent, outer_read.id);
        assert_eq!(reader.header_u32(216), 1, "flags");
        for task in [outer, inner, wrapped] {
            task.abort();
            let _ = task.await;
        }
    });
    drop(runtime);
    assert!(reader.tasks().is_empty());
    assert_eq!(current_id(), None);
}

/// Tasks that come and go on several threads, and one that runs another runtime inside.
#[test]
fn every_task_has_its_own_entry() {
    let _alone = ALONE.lock();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = hooks::install(builder.worker_threads(3)).build().unwrap();
    let own = |name: &'static str| async move {
        let id = current_id().unwrap();
        for _ in 0..3 {
            tokio::task::yield_now().at(name).await;
            assert_eq!(current_id(), Some(id));
        }
        id
    };
    let before = loiter_registry::Registry::main().spawned();
    let outer = runtime.spawn(async move {
        let id = current_id();
        tokio::task::block_in_place(|| {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let inner = hooks::install(&mut builder).build().unwrap();
            inner.block_on(async { tokio::spawn(own("inside")).await.unwrap() });
        });
        assert_eq!(current_id(), id);
    });
    runtime.block_on(async {
        outer.await.unwrap();
        for _ in 0..20 {
            let tasks: Vec<_> = (0..500).map(|_| tokio::spawn(own("yielding"))).collect();
            let mut ids = std::collections::HashSet::new();
            for task in tasks {
                assert!(ids.insert(task.await.unwrap()));
            }
        }
    });
    drop(runtime);
    let main = loiter_registry::Registry::main();
    assert_eq!((main.spawned() - before, main.dropped()), (10_000 + 2, 0));
    assert_eq!(main.spawned(), main.finished());
    assert!(Reader::main().tasks().is_empty());
}
