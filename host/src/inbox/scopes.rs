//! Lets a message whose reads were overtaken run again without being overtaken once more.
//!
//! What is right is decided by the store, by versions; the locks only see to it that somebody gets on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::store::Scope;

/// A lock for each scope that was ever contested or committed to: as many as there are plugins and bots.
#[derive(Default)]
pub(super) struct Scopes(Mutex<HashMap<Scope, Arc<RwLock<()>>>>);

/// Commits to some scopes, beside others; keeps away who must be alone.
pub(super) struct Shared(#[expect(dead_code, reason = "held until it is dropped")] Vec<OwnedRwLockReadGuard<()>>);

/// Keeps all other commits to some scopes waiting.
pub(super) struct Alone(#[expect(dead_code, reason = "held until it is dropped")] Vec<OwnedRwLockWriteGuard<()>>);

impl Scopes {
    /// Waits until nobody needs to be alone with any of `scopes`, which are in order.
    pub(super) async fn share(&self, scopes: impl Iterator<Item = &Scope>) -> Shared {
        let mut guards = Vec::new();
        for lock in self.locks(scopes) {
            guards.push(lock.read_owned().await);
        }
        Shared(guards)
    }

    /// Waits until all commits to `scopes`, which are in order, are done, and keeps later ones waiting.
    pub(super) async fn alone(&self, scopes: impl Iterator<Item = &Scope>) -> Alone {
        let mut guards = Vec::new();
        for lock in self.locks(scopes) {
            guards.push(lock.write_owned().await);
        }
        Alone(guards)
    }

    fn locks<'a>(&self, scopes: impl Iterator<Item = &'a Scope>) -> Vec<Arc<RwLock<()>>> {
        let mut scopes = scopes.peekable();
        // Most messages read and write nothing, and so share nothing.
        if scopes.peek().is_none() {
            return Vec::new();
        }
        // Nothing that holds the lock can panic half way through a change.
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        scopes.map(|scope| locks.entry(scope.clone()).or_default().clone()).collect()
    }
}
