//! Name resolution in a static binary.

use std::sync::Once;

/// Limits glibc's host lookups to `files dns`, whatever `/etc/nsswitch.conf` says. Call it before the first lookup; calling it again does
/// nothing.
///
/// A static binary has glibc's `files` and `dns` modules built in (since glibc 2.34). Any other module (`mdns4_minimal`, `myhostname`, `resolve`)
/// would be loaded with `dlopen`, which in a static program needs the very glibc version it was built with and crashes with
/// another. Go's and musl's resolvers have the same limit. On other C libraries there is nothing to do.
pub fn limit_to_files_and_dns() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            /// `<nss.h>`: overrides one database's line of nsswitch.conf.
            fn __nss_configure_lookup(database: *const libc::c_char, service_line: *const libc::c_char) -> libc::c_int;
        }
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            // SAFETY: both are valid NUL-terminated strings that live for ever; glibc copies what it keeps. The function takes
            // glibc's own lock, so that lookups in other threads are not disturbed. It fails only for want of memory or for an
            // unknown database; lookups then follow nsswitch.conf.
            unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
        });
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = Once::new;
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    #[test]
    fn localhost_still_resolves() {
        super::limit_to_files_and_dns();
        super::limit_to_files_and_dns();
        let found: Vec<_> = ("localhost", 80).to_socket_addrs().unwrap().collect();
        assert!(found.iter().any(|address| address.ip().is_loopback()), "{found:?}");
    }
}
