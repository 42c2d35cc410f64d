//! Keepers with a swarm each, in one thread and in virtual time: models in memory, and whatever goes wrong with them.

use super::*;
use crate::compute::files::Files;
use crate::compute::swarm::{Errand, News};
use crate::store::{MemoryStore, Usage};
use coordinator::swarm::{Event, Message, Output, Sharing, Swarm};
use coordinator::{Millis, PeerId};
use futures::executor::{LocalPool, LocalSpawner};
use futures::lock::{Mutex, MutexGuard};
use futures::task::LocalSpawnExt;
use kernels::weights::manifest::{self, FILE_NAME};
use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

mod alone;
mod room;

/// Files in memory, on a server or of one's own.
#[derive(Clone, Default)]
struct Shelf {
    files: Rc<BTreeMap<String, Vec<u8>>>,
    remote: bool,
    /// Bytes of files that were read.
    read: Rc<Cell<u64>>,
    /// Whether the server sends something else.
    wrong: Rc<Cell<bool>>,
    /// What was asked for.
    asked: Rc<RefCell<BTreeSet<String>>>,
}

#[async_trait::async_trait(?Send)]
impl Files for Shelf {
    async fn length(&self, name: &str) -> Result<u64, String> {
        self.files.get(name).map(|file| file.len() as u64).ok_or_else(|| format!("no {name}"))
    }

    async fn range(&self, name: &str, range: Range<u64>) -> Result<Vec<u8>, String> {
        self.asked.borrow_mut().insert(name.to_owned());
        let file = self.files.get(name).ok_or_else(|| format!("no {name}"))?;
        let bytes = file.get(range.start as usize..range.end as usize).ok_or("too short")?;
        if name != FILE_NAME {
            self.read.set(self.read.get() + bytes.len() as u64);
        }
        let mut bytes = bytes.to_vec();
        if self.wrong.get() && name != FILE_NAME {
            bytes[0] ^= 1;
        }
        Ok(bytes)
    }

    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn is_remote(&self) -> bool {
        self.remote
    }
}

/// Three files of 5 MiB and a little, and their manifest unless it is left out.
fn shelf(remote: bool, manifest: bool) -> Shelf {
    let file = |seed: u32, bytes: u32| -> Vec<u8> {
        (0..bytes).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8).collect()
    };
    let mut files = BTreeMap::from([
        ("config.json".to_owned(), b"{}".to_vec()),
        ("one.bin".to_owned(), file(1, 3 << 20)),
        ("two.bin".to_owned(), file(2, (2 << 20) + 77)),
    ]);
    if manifest {
        let plain = Shelf { files: Rc::new(files.clone()), ..Shelf::default() };
        let names: Vec<String> = files.keys().cloned().collect();
        let made = futures::executor::block_on(async {
            let from = crate::compute::files::Checked(&plain);
            let listing = manifest::list(&from, &names).await.unwrap();
            let about = manifest::About { name: "toy".into(), ..Default::default() };
            manifest::make(&from, &listing, about, |_| {}).await.unwrap()
        });
        files.insert(FILE_NAME.into(), manifest::encode_file(&made).unwrap());
    }
    Shelf { files: Rc::new(files), remote, ..Shelf::default() }
}

/// A store in memory of which changes wait for their turn, as those of a browser do.
struct Shop {
    store: MemoryStore,
    turn: Mutex<()>,
}

impl Shop {
    fn new(quota: u64) -> Rc<Self> {
        Rc::new(Self { store: MemoryStore::new(quota), turn: Mutex::new(()) })
    }

    async fn turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        let mut moments = 0..8;
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            moments.next().map_or(Poll::Ready(()), |_| Poll::Pending)
        })
        .await;
        turn
    }
}

type Toy = Keeper<Shelf, Rc<Shop>>;

impl BlockStore for Rc<Shop> {
    async fn get(&self, block: Hash) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(block).await
    }
    async fn put(&self, block: Hash, bytes: &[u8]) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.put(block, bytes).await
    }
    async fn has(&self, block: Hash) -> Result<bool, StoreError> {
        self.store.has(block).await
    }
    async fn remove(&self, block: Hash) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.remove(block).await
    }
    async fn list(&self) -> Result<Vec<(Hash, u64)>, StoreError> {
        self.store.list().await
    }
    async fn pin(&self, name: Hash, blocks: &[Hash]) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.pin(name, blocks).await
    }
    async fn clear(&self) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.clear().await
    }
    async fn usage(&self) -> Result<Usage, StoreError> {
        self.store.usage().await
    }
    async fn allow(&self, quota: u64) -> Result<(), StoreError> {
        let _turn = self.turn().await;
        self.store.allow(quota).await
    }
}

/// A peer: its keeper, its swarm, and what they have to say to each other.
struct Peer {
    swarm: Swarm,
    keeper: Rc<Toy>,
    errands: UnboundedSender<Errand>,
    reports: Rc<RefCell<VecDeque<Report>>>,
    events: Vec<Event>,
    /// Blocks that it sends are changed on the way.
    lies: bool,
    kept: Option<Usage>,
}

/// Peers that hear each other at once.
struct Room {
    pool: LocalPool,
    spawner: LocalSpawner,
    now: Millis,
    peers: BTreeMap<PeerId, Peer>,
}

impl Room {
    fn new() -> Self {
        let pool = LocalPool::new();
        let spawner = pool.spawner();
        Self { pool, spawner, now: Millis(0), peers: BTreeMap::new() }
    }

    fn join(&mut self, id: u128, shelf: &Shelf, store: &Rc<Shop>) -> PeerId {
        self.join_with(id, shelf, store, &Means::default())
    }

    fn join_with(&mut self, id: u128, shelf: &Shelf, store: &Rc<Shop>, means: &Means) -> PeerId {
        let id = PeerId(id);
        let reports: Rc<RefCell<VecDeque<Report>>> = Rc::default();
        let (said, files) = (reports.clone(), shelf.clone());
        let report = Rc::new(move |report| said.borrow_mut().push_back(report));
        let keeper = Keeper::new(store.clone(), means, move |_| files.clone(), report);
        let (errands, incoming) = unbounded();
        let running = keeper.clone();
        self.spawner.spawn_local(async move { running.run(incoming).await }).unwrap();
        let mut swarm = Swarm::new(id, self.now);
        for (&other, peer) in &mut self.peers {
            peer.swarm.handle(self.now, Input::PeerUp(id));
            swarm.handle(self.now, Input::PeerUp(other));
        }
        // What is said on meeting is said again by whoever opens something.
        let peer = Peer { swarm, keeper, errands, reports, events: vec![], lies: false, kept: None };
        self.peers.insert(id, peer);
        let others: Vec<PeerId> = self.peers.keys().copied().filter(|&other| other != id).collect();
        for other in others {
            self.input(other, Input::PeerUp(id));
        }
        id
    }

    fn leave(&mut self, id: PeerId) {
        self.peers.remove(&id);
        for other in self.peers.keys().copied().collect::<Vec<_>>() {
            self.input(other, Input::PeerDown(id));
        }
    }

    fn peer(&mut self, id: PeerId) -> &mut Peer {
        self.peers.get_mut(&id).expect("a peer of this room")
    }

    fn input(&mut self, id: PeerId, input: Input) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mut messages = Vec::new();
        for output in peer.swarm.handle(now, input) {
            match Errand::try_from(output) {
                Ok(errand) => peer.errands.unbounded_send(errand).unwrap(),
                Err(Output::Send { to, message }) => messages.push((to, message)),
                Err(Output::Event(event)) => peer.events.push(event),
                Err(other) => panic!("{other:?}"),
            }
        }
        for (to, message) in messages {
            self.input(to, Input::Received { from: id, message });
        }
    }

    fn news(&mut self, id: PeerId, news: News) {
        match news {
            News::Input(input) => self.input(id, input),
            News::Block { to, content, number, bytes } => {
                let length = bytes.as_ref().map(|bytes| bytes.len() as u32);
                if let Some(bytes) = bytes {
                    let mut bytes = bytes.into_vec();
                    bytes[0] ^= u8::from(self.peer(id).lies);
                    let message = Message::Block { content, number, bytes };
                    self.input(to, Input::Received { from: id, message });
                }
                self.input(id, Input::Served { to, content, number, bytes: length });
            }
            News::Root { to, content, bytes } => {
                self.input(to, Input::Received { from: id, message: Message::Root { content, bytes } });
            }
            News::Kept(usage) => self.peer(id).kept = Some(usage),
            News::About { .. } | News::Progress { .. } => {}
        }
    }

    /// Runs everything for so long.
    fn pass(&mut self, ms: u64) {
        let end = self.now.after(ms);
        while self.now < end {
            self.pool.run_until_stalled();
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                loop {
                    let report = self.peers.get(&id).and_then(|peer| peer.reports.borrow_mut().pop_front());
                    let Some(report) = report else { break };
                    if let Report::Swarm(news) = report {
                        self.news(id, news);
                    }
                }
            }
            self.now = self.now.after(10);
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                self.input(id, Input::Tick);
            }
        }
    }

    /// Begins to open a model and to read a range of a file of it; the answer comes with time.
    fn read(&mut self, id: PeerId, source: &str, name: &str, range: Range<u64>) -> Answer {
        let (keeper, source, name) = (self.peer(id).keeper.clone(), source.to_owned(), name.to_owned());
        let answer: Answer = Rc::default();
        let into = answer.clone();
        let read = async move {
            let read = match keeper.open(&source).await {
                Ok((files, called)) => files.range(&name, range).await.map(|bytes| (called, bytes)),
                Err(why) => Err(why),
            };
            into.replace(Some(read));
        };
        self.spawner.spawn_local(read).unwrap();
        answer
    }
}

type Answer = Rc<RefCell<Option<Result<(String, Vec<u8>), String>>>>;

fn store(bytes: u64) -> Rc<Shop> {
    Shop::new(bytes)
}

fn id_of(shelf: &Shelf) -> [u8; 32] {
    let file = &shelf.files[FILE_NAME];
    let range = manifest::root_in_file(&file[..9]).unwrap();
    Hash::of(&file[range.start as usize..range.end as usize]).0
}

/// A range over the ends of blocks.
const PART: Range<u64> = (1 << 20) - 5..(2 << 20) + 9;

fn part(shelf: &Shelf, name: &str) -> Vec<u8> {
    shelf.files[name][PART.start as usize..PART.end as usize].to_vec()
}

#[test]
fn a_model_with_a_manifest_is_read_block_by_block_and_kept() {
    let (shelf, kept) = (shelf(true, true), store(1 << 30));
    let mut room = Room::new();
    let me = room.join(1, &shelf, &kept);
    let answer = room.read(me, "http://host/toy/", "one.bin", PART);
    room.pass(5_000);
    let read = answer.take().expect("it came").expect("it is right");
    assert_eq!(read, ("http://host/toy/".into(), part(&shelf, "one.bin")));
    let before = shelf.read.get();
    assert!(before >= 3 << 20, "three blocks at least");
    room.leave(me);
    let again = room.join(2, &shelf, &kept);
    let answer = room.read(again, "http://host/toy/", "one.bin", PART);
    room.pass(100);
    assert!(answer.take().expect("at once").is_ok());
    assert_eq!(shelf.read.get(), before, "nothing is fetched twice");
}

#[test]
fn without_a_manifest_it_is_read_as_ever() {
    let shelf = shelf(true, false);
    let mut room = Room::new();
    let me = room.join(1, &shelf, &store(1 << 30));
    let answer = room.read(me, "http://host/toy/", "two.bin", 5..9);
    room.pass(20);
    assert_eq!(answer.take().unwrap().unwrap().1, shelf.files["two.bin"][5..9]);
    assert!(room.peer(me).events.is_empty());
}

#[test]
fn a_room_hands_on_what_one_of_it_has() {
    let (own, nothing) = (shelf(false, true), Shelf::default());
    let mut room = Room::new();
    let owner = room.join(1, &own, &store(1 << 30));
    let guests: Vec<PeerId> = (2..4).map(|id| room.join(id, &nothing, &store(1 << 30))).collect();
    let there = room.read(owner, "toy", "one.bin", 0..1);
    room.pass(50);
    assert!(there.take().is_some_and(|read| read.is_ok()), "own files are read in place");
    let source = crate::compute::source::of_content(&id_of(&own), "");
    let answers: Vec<Answer> =
        guests.iter().map(|&guest| room.read(guest, &source, "one.bin", PART)).collect();
    room.pass(20_000);
    for answer in &answers {
        assert_eq!(
            answer.take().expect("it came").expect("it is right"),
            (source.clone(), part(&own, "one.bin"))
        );
    }
    // Of those who are left, each gives what it has.
    room.leave(owner);
    let late = room.join(9, &nothing, &store(1 << 30));
    let answer = room.read(late, &source, "one.bin", PART);
    room.pass(20_000);
    assert_eq!(answer.take().expect("it came").expect("it is right").1, part(&own, "one.bin"));
}

#[test]
fn files_that_were_changed_are_not_handed_on() {
    let (own, nothing) = (shelf(false, true), Shelf::default());
    let mut room = Room::new();
    let owner = room.join(1, &own, &store(1 << 30));
    let guest = room.join(2, &nothing, &store(1 << 30));
    let _there = room.read(owner, "toy", "one.bin", 0..1);
    room.pass(50);
    own.wrong.set(true);
    let source = crate::compute::source::of_content(&id_of(&own), "");
    let answer = room.read(guest, &source, "one.bin", PART);
    room.pass(10_000);
    assert!(answer.take().is_none(), "nobody has them as they should be");
    let lied = room.peer(guest).events.iter().any(|event| matches!(event, Event::Lied { .. }));
    assert!(!lied, "and nobody is blamed");
}

#[test]
fn who_changes_blocks_is_named_and_costs_one() {
    let (own, nothing) = (shelf(false, true), Shelf::default());
    let mut room = Room::new();
    let (honest, liar) = (room.join(1, &own, &store(1 << 30)), room.join(2, &own, &store(1 << 30)));
    room.peer(liar).lies = true;
    let guest = room.join(3, &nothing, &store(1 << 30));
    for owner in [honest, liar] {
        let _ = room.read(owner, "toy", "one.bin", 0..1);
    }
    room.pass(50);
    let source = crate::compute::source::of_content(&id_of(&own), "");
    let answer = room.read(guest, &source, "one.bin", 0..3 << 20);
    room.pass(20_000);
    assert_eq!(answer.take().expect("it came").expect("it is right").1, own.files["one.bin"]);
    let events = &room.peer(guest).events;
    let lied = |event: &&Event| matches!(event, Event::Lied { source: coordinator::swarm::Source::Peer(peer), .. } if *peer == liar);
    assert_eq!(events.iter().filter(lied).count(), 1, "{events:?}");
}

#[test]
fn without_room_it_is_read_all_the_same() {
    let (shelf, small) = (shelf(true, true), store(2 << 20));
    let mut room = Room::new();
    let me = room.join(1, &shelf, &small);
    // Everything that is kept stays: there is room for little else.
    let filler = vec![7; (2 << 20) - 2_000];
    let hash = Hash::of(&filler[..1 << 20]);
    futures::executor::block_on(async {
        small.put(hash, &filler[..1 << 20]).await.unwrap();
        let rest = Hash::of(&filler[1 << 20..]);
        small.put(rest, &filler[1 << 20..]).await.unwrap();
        small.pin(Hash::default(), &[hash, rest]).await.unwrap();
    });
    let answer = room.read(me, "http://host/toy/", "one.bin", 0..3 << 20);
    room.pass(120_000);
    assert_eq!(answer.take().expect("it came").expect("it is right").1, shelf.files["one.bin"]);
}

#[test]
fn what_is_brought_near_waits_for_nobody() {
    let (shelf, kept) = (shelf(true, true), store(1 << 30));
    let mut room = Room::new();
    let me = room.join(1, &shelf, &kept);
    room.peer(me).swarm.handle(Millis(0), Input::Sharing(Sharing::On));
    let keeper = room.peer(me).keeper.clone();
    let near: Rc<RefCell<Option<crate::compute::files::Brought>>> = Rc::default();
    let into = near.clone();
    let bring = async move {
        let (files, _) = keeper.open("http://host/toy/").await.unwrap();
        let ranges = [("one.bin".to_owned(), 0..3 << 20), ("two.bin".to_owned(), 0..9)];
        let brought = files.bring(&ranges).expect("it is a content").await;
        into.replace(Some(brought));
    };
    room.spawner.spawn_local(bring).unwrap();
    room.pass(20_000);
    assert!(near.borrow().is_some());
    let content = Content(id_of(&shelf));
    let held = room.peer(me).keeper.content(content).unwrap();
    let progress = held.progress();
    assert!(progress.wanted == progress.here && progress.here >= 4 << 20, "{progress:?}");
    near.take();
    room.pass(100);
    assert!(held.progress().wanted < 1 << 20, "only the pages are needed any more");
}

#[test]
fn a_name_that_is_none_is_said() {
    let mut room = Room::new();
    let me = room.join(1, &Shelf::default(), &store(1 << 20));
    let answer = room.read(me, "content:abc", "one.bin", 0..1);
    room.pass(20);
    assert!(answer.take().unwrap().is_err());
}
