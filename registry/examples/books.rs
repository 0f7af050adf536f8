//! A program that keeps its own books: what it knows of its tasks, from its own code alone, to be
//! compared with what loiter reads.
//!
//! `books` spawns tasks of every kind and then answers lines on stdin: `books` prints one JSON line
//! for each task (id, parent, file, line, name, state, chain from the outermost place inwards) and
//! `end`; `quit` ends it. `books parked N` parks N tasks, prints `ready` and waits; `books churn`
//! spawns short tasks beside a thousand parked ones until it is ended.

use std::future::{Future, pending};
use std::io::BufRead;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use loiter_registry::{AwaitExt, Registration, WaitReason, at, current_id, tokio as tasks};
use tokio::sync::oneshot;

/// What the program believes of one of its tasks.
#[derive(Debug, Clone)]
struct Page {
    id: u64,
    parent: u64,
    line: u32,
    name: &'static str,
    state: &'static str,
    reason: &'static str,
    chain: Vec<(&'static str, u32)>,
}

#[derive(Clone, Default)]
struct Books(Arc<Mutex<Vec<Page>>>);

impl Books {
    /// The calling task enters itself, standing at `chain`, and goes when the guard does.
    fn enter(&self, parent: u64, line: u32, name: &'static str) -> Entered {
        let id = current_id().unwrap_or(0);
        self.change(|pages| {
            pages.push(Page { id, parent, line, name, state: "waiting", reason: "", chain: vec![] });
        });
        Entered { books: self.clone(), id }
    }

    fn change<R>(&self, change: impl FnOnce(&mut Vec<Page>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn print(&self) {
        let mut pages = self.change(|pages| pages.clone());
        pages.sort_by_key(|page| page.id);
        for page in pages {
            let chain: Vec<_> = page
                .chain
                .iter()
                .map(|(name, line)| format!(r#"{{"name":"{name}","file":"{}","line":{line}}}"#, file!()))
                .collect();
            println!(
                r#"{{"id":{},"parent":{},"file":"{}","line":{},"name":"{}","state":"{}","reason":"{}","chain":[{}]}}"#,
                page.id,
                page.parent,
                file!(),
                page.line,
                page.name,
                page.state,
                page.reason,
                chain.join(",")
            );
        }
        println!("end");
    }
}

struct Entered {
    books: Books,
    id: u64,
}

impl Entered {
    fn write(&self, write: impl FnOnce(&mut Page)) {
        self.books.change(|pages| pages.iter_mut().find(|page| page.id == self.id).map(write));
    }

    fn at(&self, chain: &[(&'static str, u32)]) {
        self.write(|page| page.chain = chain.to_vec());
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.books.change(|pages| pages.retain(|page| page.id != self.id));
    }
}

/// A task without a place of its own, and one with a name, each the parent of the next.
fn family(books: &Books, depth: u32, parent: u64) {
    let names = ["leaf", "middle", "grandparent"];
    let name = names[depth as usize % names.len()];
    let (inner_books, line) = (books.clone(), line!() + 1);
    tasks::spawn_named(name, async move {
        let page = inner_books.enter(parent, line, name);
        if depth > 0 {
            family(&inner_books, depth - 1, current_id().unwrap_or(0));
        }
        page.at(&[("family", line!() + 1)]);
        pending::<()>().at("family").await;
    });
}

async fn inner(page: &Entered, outer: (&'static str, u32)) {
    page.at(&[outer, ("inner", line!() + 1)]);
    pending::<()>().at("inner").await;
}

/// Tasks that stand in nested places, after having stood in others.
fn nested(books: &Books) {
    for _ in 0..10 {
        let (books, line) = (books.clone(), line!() + 1);
        tasks::spawn(async move {
            let page = books.enter(0, line, "");
            tokio::task::yield_now().at("before").await;
            inner(&page, ("outer", line!())).at("outer").await;
        });
    }
}

/// Tasks whose select was left, whose future was cancelled, and that wait for a lock.
fn left(books: &Books, lock: &Arc<tokio::sync::Mutex<()>>) {
    let (own, line) = (books.clone(), line!() + 1);
    tasks::spawn_named("selected", async move {
        let page = own.enter(0, line, "selected");
        tokio::select! {
            () = pending::<()>().at("never") => (),
            () = tokio::time::sleep(Duration::from_millis(5)).at("timer") => (),
        }
        page.at(&[("after select", line!() + 1)]);
        pending::<()>().at("after select").await;
    });
    for _ in 0..3 {
        let (own, lock, line) = (books.clone(), lock.clone(), line!() + 1);
        tasks::spawn_named("queued", async move {
            let page = own.enter(0, line, "queued");
            page.write(|page| page.reason = "lock");
            page.at(&[("taking the lock", line!() + 1)]);
            let _held = lock.lock().waiting_for(WaitReason::Lock, &*lock).at("taking the lock").await;
        });
    }
}

/// A blocking job, which runs, and a task that the program's own code registered.
fn others(books: &Books, job_ends: std::sync::mpsc::Receiver<()>) -> loiter_registry::Task {
    let (own, line) = (books.clone(), line!() + 1);
    tasks::Builder::new().name("job").spawn_blocking(move || {
        let page = own.enter(0, line, "job");
        page.write(|page| page.state = "running");
        let _ = job_ends.recv();
    });
    let line = line!() + 1;
    let task = Registration::new().name("by hand").register();
    let (id, name) = (task.id().unwrap_or(0), "by hand");
    books.change(|pages| {
        pages.push(Page { id, parent: 0, line, name, state: "created", reason: "", chain: vec![] });
    });
    task
}

async fn keep_books() {
    let books = Books::default();
    let lock = Arc::new(tokio::sync::Mutex::new(()));
    let _held = lock.lock().await;
    let (_job, job_ends) = std::sync::mpsc::channel();
    family(&books, 2, 0);
    nested(&books);
    left(&books, &lock);
    let _task = others(&books, job_ends);
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("ready");
    answer(move || books.print()).await;
    // The job ends when `_job` is dropped.
}

/// Answers lines on stdin until `quit` or its end.
async fn answer(print: impl Fn() + Send + 'static) {
    let (done, quit) = oneshot::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "books" => print(),
                "quit" => break,
                _ => eprintln!("known: books, quit"),
            }
        }
        done.send(())
    });
    let _ = quit.await;
}

/// Tasks that stand where `three_deep` has them stand.
static PARKED: AtomicU32 = AtomicU32::new(0);

async fn three_deep(name: &'static str) {
    PARKED.fetch_add(1, Ordering::Relaxed);
    async { at!(pending::<()>()).await }.at("middle").at(name).await;
}

async fn park(count: u32) {
    for number in 0..count {
        let name = ["reader", "writer", "sweeper"][number as usize % 3];
        tasks::spawn_named(name, three_deep(name));
    }
    while PARKED.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("ready");
}

async fn churn() {
    park(1000).await;
    loop {
        let mut set = tasks::JoinSet::new();
        for _ in 0..100 {
            set.spawn_named("short", async { tokio::task::yield_now().at("yielding").await });
        }
        while set.join_next().await.is_some() {}
    }
}

fn run(main: impl Future<Output = ()>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(main);
    runtime.shutdown_background();
    Ok(())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(keep_books()),
        ["parked", count] => {
            let count = count.parse().map_err(std::io::Error::other)?;
            run(async move {
                park(count).await;
                answer(|| println!("end")).await;
            })
        }
        ["churn"] => run(churn()),
        _ => Err(std::io::Error::other("usage: books [parked N | churn]")),
    }
}
