//! Where requests may go, and what is added on the way.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::address::Reach;
use crate::config::{Allow, FRAMING_HEADERS, Origin};

/// Where requests may go, and the headers that are added on the way.
#[derive(Debug)]
pub struct Policy {
    grants: Vec<Grant>,
}

/// One place that requests may go to.
#[derive(Debug)]
struct Grant {
    origin: Origin,
    /// Their values are marked as sensitive, so that Debug does not show them.
    headers: Vec<(HeaderName, HeaderValue)>,
    reach: Reach,
}

impl Policy {
    /// What `allow.http` of a plugin says.
    pub fn of_plugin(allow: &Allow) -> Self {
        let grants = allow.http.iter().map(|grant| {
            // The configuration has checked the values.
            let headers = grant.headers.iter().filter_map(|(name, secret)| {
                let mut value = HeaderValue::from_str(secret.expose()).ok()?;
                value.set_sensitive(true);
                Some((name.clone(), value))
            });
            Grant { origin: grant.origin.clone(), headers: headers.collect(), reach: Reach::of(grant) }
        });
        Self { grants: grants.collect() }
    }

    /// For the host's own requests to one place that `bots.toml` names, wherever that is.
    pub fn of_host(origin: Origin) -> Self {
        Self { grants: vec![Grant { origin, headers: Vec::new(), reach: Reach::Anywhere }] }
    }

    /// For the host's own requests to a place that somebody else named: only where anybody could go.
    pub fn of_public(origin: Origin) -> Self {
        Self { grants: vec![Grant { origin, headers: Vec::new(), reach: Reach::Public }] }
    }

    /// Whether requests may go to this origin at all.
    pub(super) fn allows(&self, origin: &Origin) -> bool {
        self.grant(origin).is_some()
    }

    /// Which addresses this origin may stand for; none where it is not allowed.
    pub(super) fn reach(&self, origin: &Origin) -> Option<Reach> {
        self.grant(origin).map(|grant| grant.reach)
    }

    /// Makes a sender's headers those that go on the wire to this origin: without what only the host may say, and with what is granted,
    /// which a sender cannot override.
    pub(super) fn apply(&self, origin: &Origin, headers: &mut HeaderMap) {
        for name in FRAMING_HEADERS {
            headers.remove(name);
        }
        let granted = self.grant(origin).map_or(&[][..], |grant| &grant.headers);
        for (name, value) in granted {
            headers.insert(name.clone(), value.clone());
        }
        if !headers.contains_key(header::USER_AGENT) {
            headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        }
    }

    fn grant(&self, origin: &Origin) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.origin == *origin)
    }
}

/// Some services refuse requests without one.
const USER_AGENT: &str = concat!("mynah/", env!("CARGO_PKG_VERSION"));
