//! What a token is to be good for (distribution, "Token Scope Documentation"): `repository:NAME:ACTIONS`, several of them where a push
//! mounts blobs of other repositories.

use std::collections::{BTreeMap, BTreeSet};

/// What is going to be done with a repository: the token asked for first is then the one that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Delete.
    Delete,
}

impl Access {
    /// As messages name it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Access::Pull => "pull",
            Access::Push => "push",
            Access::Delete => "delete",
        }
    }

    fn actions(self) -> &'static str {
        match self {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "pull,delete",
        }
    }
}

/// A set of scopes; actions on the same thing are one scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Scopes {
    /// One repository.
    pub(crate) fn repository(path: &str, access: Access) -> Self {
        let mut scopes = Scopes::default();
        scopes.add(&format!("repository:{path}:{}", access.actions()));
        scopes
    }

    /// Adds scopes as a challenge writes them, separated by spaces; answers whether any was new.
    pub(crate) fn add(&mut self, text: &str) -> bool {
        let mut is_new = false;
        for scope in text.split_ascii_whitespace() {
            // The name may hold colons, of a host's port.
            let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            let known = self.0.entry(resource.to_owned()).or_default();
            for action in actions.split(',').filter(|action| !action.is_empty()) {
                is_new |= known.insert(action.to_owned());
            }
        }
        is_new
    }

    /// Whether there is more than one resource.
    pub(crate) fn is_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Each scope in its own words.
    pub(crate) fn each(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(resource, actions)| {
            // Pull first, as everybody writes it and some servers compare.
            let mut actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            actions.sort_by_key(|action| (*action != "pull", *action));
            format!("{resource}:{}", actions.join(","))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_one_repository_are_one() {
        let mut scopes = Scopes::repository("a/b", Access::Push);
        assert!(!scopes.add("repository:a/b:pull"));
        assert!(scopes.add("repository:a/b:delete repository:c:pull"));
        assert_eq!(scopes.each().collect::<Vec<_>>(), ["repository:a/b:pull,delete,push", "repository:c:pull"]);
        assert!(scopes.add("repository:host:5000/x:pull registry:catalog:*"));
        let all: Vec<_> = scopes.each().collect();
        let expected = ["registry:catalog:*", "repository:a/b:pull,delete,push", "repository:c:pull"];
        assert_eq!(all[..3], expected);
        assert_eq!(all[3], "repository:host:5000/x:pull");
    }
}
