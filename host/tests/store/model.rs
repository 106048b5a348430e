//! The store against a model of it: ordered maps in memory, one commit after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mynah::store::{ANSWER_KEPT, FollowerChange, FollowerStep, PendingStep};
use proptest::{collection::vec, option, prelude::*};
use tokio::runtime::{Builder, Runtime};

use super::*;

/// Keys that are hard to order: empty, a prefix of another, with a zero, beyond ASCII.
const KEYS: [&str; 8] = ["", "a", "a\0", "a\0b", "ab", "b", "é", "\u{10ffff}"];
const SCOPES: [(&str, &str); 3] = [("bot", "plugin"), ("bot", "plugin2"), ("bot2", "plugin")];
const MESSAGES: u64 = 12;
const OPENIDS: [&str; 2] = ["oA", "oB"];

/// Which version a commit insists on.
#[derive(Clone, Copy, Debug)]
enum Insist {
    Current,
    /// One that never was.
    Wrong,
    /// Absence, which is wrong if something is there.
    Absence,
}

/// A record's length and its seconds to live; `None` where it is deleted.
type Record = Option<(usize, u64)>;

#[derive(Clone, Debug)]
struct Step {
    seconds: u64,
    message: u64,
    scopes: Vec<ScopeStep>,
    follower: Option<(usize, Insist, Option<Record>)>,
    answer: Option<usize>,
    pending: Option<Option<u64>>,
    reopen: bool,
    listing: (usize, Option<usize>, usize),
}

#[derive(Clone, Debug)]
struct ScopeStep {
    scope: usize,
    reads: Vec<(usize, Insist)>,
    list: Option<Insist>,
    writes: Vec<(usize, Option<usize>)>,
    quota: Option<u64>,
}

fn insist() -> impl Strategy<Value = Insist> {
    prop_oneof![12 => Just(Insist::Current), 1 => Just(Insist::Wrong), 1 => Just(Insist::Absence)]
}

fn scope_step() -> impl Strategy<Value = ScopeStep> {
    let key = 0..KEYS.len();
    let writes = vec((key.clone(), option::weighted(0.7, 0..300_usize)), 0..4);
    (
        0..SCOPES.len(),
        vec((key, insist()), 0..3),
        option::weighted(0.2, insist()),
        writes,
        option::weighted(0.3, 0..1_500_u64),
    )
        .prop_map(|(scope, reads, list, writes, quota)| ScopeStep { scope, reads, list, writes, quota })
}

fn step() -> impl Strategy<Value = Step> {
    let follower =
        (0..OPENIDS.len(), insist(), option::weighted(0.7, option::weighted(0.7, (0..50_usize, 0..900_u64))));
    let listing = (0..KEYS.len(), option::of(0..KEYS.len()), 0..5_usize);
    (
        prop_oneof![4 => 0..30_u64, 1 => 0..1_000_u64],
        0..MESSAGES,
        vec(scope_step(), 0..3),
        option::weighted(0.4, follower),
        option::weighted(0.6, 0..50_usize),
        option::weighted(0.2, option::of(0..MESSAGES)),
        prop::bool::weighted(0.03),
        listing,
    )
        .prop_map(|(seconds, message, scopes, follower, answer, pending, reopen, listing)| Step {
            seconds,
            message,
            scopes,
            follower,
            answer,
            pending,
            reopen,
            listing,
        })
}

#[derive(Default)]
struct Model {
    now: Duration,
    commits: u64,
    entries: BTreeMap<(Scope, String), (Vec<u8>, u64)>,
    keys: BTreeMap<Scope, u64>,
    followers: BTreeMap<String, (Vec<u8>, Duration, u64)>,
    answers: BTreeMap<u64, (Vec<u8>, Duration)>,
    pending: Vec<(u64, Vec<u8>)>,
    /// The store's versions for the model's: it may skip numbers, but must not use one twice.
    versions: HashMap<u64, Version>,
    used: HashMap<Version, u64>,
}

impl Model {
    fn usage(&self, scope: &Scope) -> u64 {
        self.entries
            .iter()
            .filter(|((of, _), _)| of == scope)
            .map(|((_, key), (value, _))| (key.len() + value.len()) as u64)
            .sum()
    }

    /// Checks that `actual` is the store's name for the version `expected`.
    fn check_version(&mut self, expected: u64, actual: Version) {
        assert_eq!(expected == 0, actual == Version::ABSENT);
        assert_eq!(*self.versions.entry(expected).or_insert(actual), actual);
        assert_eq!(*self.used.entry(actual).or_insert(expected), expected, "a version was used twice");
    }

    fn check(&mut self, store: &SqliteStore, runtime: &Runtime, listing: (usize, Option<usize>, usize)) {
        for scope in SCOPES.map(|(bot, plugin)| Scope::new(bot, plugin)) {
            assert_eq!(runtime.block_on(store.usage(&scope)).unwrap(), self.usage(&scope));
            for key in KEYS {
                let read = runtime.block_on(store.get(&scope, key)).unwrap();
                let entry = self.entries.get(&(scope.clone(), key.to_owned())).cloned();
                assert_eq!(read.value, entry.as_ref().map(|(value, _)| value.clone()));
                self.check_version(entry.map_or(0, |(_, version)| version), read.version);
            }
            let (prefix, after, limit) = (KEYS[listing.0], listing.1.map(|after| KEYS[after]), listing.2);
            let list = runtime.block_on(store.list(&scope, prefix, after, limit)).unwrap();
            let keys = self.entries.keys().filter(|(of, _)| *of == scope).map(|(_, key)| key.clone());
            let keys = keys.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
            assert_eq!(list.value, keys.take(limit).collect::<Vec<_>>());
            self.check_version(self.keys.get(&scope).copied().unwrap_or(0), list.version);
        }
        for openid in OPENIDS {
            let read = runtime.block_on(store.follower("bot", openid, self.now)).unwrap();
            let record = self.followers.get(openid).filter(|(_, expires, _)| *expires > self.now).cloned();
            assert_eq!(read.value, record.as_ref().map(|(record, _, _)| record.clone()));
            self.check_version(record.map_or(0, |(_, _, version)| version), read.version);
        }
        for number in 0..MESSAGES {
            let answer = runtime.block_on(store.answer(&message(number))).unwrap();
            if answer.is_none() && self.answers.get(&number).is_some_and(|(_, at)| *at + ANSWER_KEPT <= self.now) {
                self.answers.remove(&number);
            }
            assert_eq!(answer, self.answers.get(&number).map(|(answer, _)| answer.clone()));
        }
        let pending = runtime.block_on(store.pending()).unwrap();
        assert_eq!(
            pending,
            self.pending.iter().map(|(number, record)| (message(*number), record.clone())).collect::<Vec<_>>()
        );
        let scanned = runtime.block_on(store.scan(None, 1_000)).unwrap().into_iter();
        let scanned = scanned.map(|entry| ((entry.scope, entry.key), entry.value)).collect::<Vec<_>>();
        assert!(
            scanned
                .iter()
                .map(|(name, value)| (name, value))
                .eq(self.entries.iter().map(|(name, (value, _))| (name, value)))
        );
    }

    /// The version to insist on, and whether that is the current one.
    fn insist(&self, insist: Insist, current: u64) -> (Version, bool) {
        match insist {
            Insist::Current => (self.versions[&current], true),
            Insist::Wrong => (Version(u64::MAX / 4), false),
            Insist::Absence => (Version::ABSENT, current == 0),
        }
    }

    /// Builds the commit of `step`, says what is to become of it, and does so itself.
    fn commit(&mut self, step: &Step) -> (Commit, Outcome) {
        let mut commit = Commit::new(message(step.message), self.now);
        let mut current = true;
        for of in &step.scopes {
            let scope = Scope::new(SCOPES[of.scope].0, SCOPES[of.scope].1);
            for (key, how) in &of.reads {
                let entry = self.entries.get(&(scope.clone(), KEYS[*key].to_owned()));
                let (version, right) = self.insist(*how, entry.map_or(0, |(_, version)| *version));
                current &= right;
                commit.scope(&scope).reads.insert((KEYS[*key].to_owned(), version));
            }
            if let Some(how) = of.list {
                let (version, right) = self.insist(how, self.keys.get(&scope).copied().unwrap_or(0));
                current &= right;
                commit.scope(&scope).lists.insert(version);
            }
            let access = commit.scope(&scope);
            access.quota = of.quota.or(access.quota);
            for (key, value) in &of.writes {
                access.writes.insert(KEYS[*key].to_owned(), value.map(|length| vec![length as u8; length]));
            }
        }
        if let Some((follower, how, change)) = &step.follower {
            let openid = OPENIDS[*follower].to_owned();
            let record = self.followers.get(&openid).filter(|(_, expires, _)| *expires > self.now);
            let (read, right) = self.insist(*how, record.map_or(0, |(_, _, version)| *version));
            current &= right;
            let change = match change {
                None => FollowerChange::Keep,
                Some(None) => FollowerChange::Delete,
                Some(Some((length, seconds))) => {
                    FollowerChange::Put { record: vec![0; *length], expires: self.now + Duration::from_secs(*seconds) }
                }
            };
            commit.follower = Some(FollowerStep { bot: "bot".into(), openid, read, change });
        }
        commit.answer = step.answer.map(|length| vec![step.message as u8; length]);
        commit.pending = step.pending.map(|end| match end {
            None => PendingStep::Begin(vec![step.message as u8]),
            Some(number) => PendingStep::End(message(number)),
        });
        let outcome = self.decide(&commit, step, current);
        (commit, outcome)
    }

    fn decide(&mut self, commit: &Commit, step: &Step, current: bool) -> Outcome {
        if let Some((answer, _)) = self.answers.get(&step.message) {
            return Outcome::Answered(answer.clone());
        }
        if let Some(Some(number)) = step.pending
            && !self.pending.iter().any(|(pending, _)| *pending == number)
        {
            return Outcome::Ended;
        }
        if !current {
            return Outcome::Conflict;
        }
        let mut entries = self.entries.clone();
        let number = self.commits + 1;
        let mut moved = BTreeSet::new();
        for (scope, access) in &commit.scopes {
            for (key, value) in &access.writes {
                let name = (scope.clone(), key.clone());
                let before = match value {
                    Some(value) => entries.insert(name, (value.clone(), number)),
                    None => entries.remove(&name),
                };
                if before.is_some() != value.is_some() {
                    moved.insert(scope.clone());
                }
            }
        }
        let entries = std::mem::replace(&mut self.entries, entries);
        for (scope, access) in &commit.scopes {
            let after = self.usage(scope);
            let changed = std::mem::replace(&mut self.entries, entries.clone());
            let before = self.usage(scope);
            if access.quota.is_some_and(|quota| after > quota && after > before) {
                return Outcome::Quota(scope.clone());
            }
            self.entries = changed;
        }
        self.commits = number;
        self.keys.extend(moved.into_iter().map(|scope| (scope, number)));
        if let Some(step) = &commit.follower {
            match &step.change {
                FollowerChange::Keep => {}
                FollowerChange::Put { record, expires } => {
                    self.followers.insert(step.openid.clone(), (record.clone(), *expires, number));
                }
                FollowerChange::Delete => drop(self.followers.remove(&step.openid)),
            }
        }
        match &commit.pending {
            Some(PendingStep::Begin(record)) => {
                self.pending.retain(|(pending, _)| *pending != step.message);
                self.pending.push((step.message, record.clone()));
            }
            Some(PendingStep::End(message)) => self.pending.retain(|(pending, _)| super::message(*pending) != *message),
            None => {}
        }
        if let Some(answer) = &commit.answer {
            self.answers.insert(step.message, (answer.clone(), self.now));
        }
        Outcome::Committed
    }
}

proptest! {
    // Each case syncs its disk some fifty times.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn the_store_does_what_its_model_does(steps in vec(step(), 1..50)) {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mynah.db");
        let mut store = SqliteStore::open(&path).unwrap();
        let mut model = Model { now: NOW, ..Model::default() };
        for step in steps {
            if step.reopen {
                drop(store);
                store = SqliteStore::open(&path).unwrap();
            }
            model.now += Duration::from_secs(step.seconds);
            model.check(&store, &runtime, step.listing);
            let (commit, expected) = model.commit(&step);
            prop_assert_eq!(runtime.block_on(store.commit(commit)).unwrap(), expected);
            model.check(&store, &runtime, step.listing);
        }
    }
}
