//! Lists: tags, and the pages that registries send long ones in.

use crate::endpoint::{display_host, resolve, same_origin};
use crate::error::{Error, Result};
use crate::host::{Answer, Ask};
use crate::repository::Repository;
use crate::response::read_again;
use crate::transport::Call;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::LINK;
use ureq::http::{HeaderMap, Method, Uri};

/// The largest page, in bytes.
const PAGE_LIMIT: u64 = 16 * 1024 * 1024;

/// More pages than this is a registry that leads in circles.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct TagPage {
    /// `null` for a repository without tags.
    tags: Option<Vec<String>>,
}

impl Repository {
    /// All tags, in the registry's order. `page`: how many to ask for at once; `None`: as many as the registry likes.
    pub fn tags(&self, page: Option<u32>) -> Result<Vec<String>> {
        let what = format!("tags of {}", self.name());
        let rest = page.map_or_else(|| "tags/list".to_owned(), |count| format!("tags/list?n={count}"));
        let mut tags = Vec::new();
        self.pages(&Ask::new(Method::GET, &rest), &what, |page: TagPage, _| {
            tags.extend(page.tags.unwrap_or_default())
        })?;
        Ok(tags)
    }

    /// Fetches a list's pages, one after the other (RFC 8288, `rel="next"`).
    pub(crate) fn pages<T: DeserializeOwned>(
        &self,
        first: &Ask<'_>,
        what: &str,
        mut each: impl FnMut(T, &HeaderMap),
    ) -> Result<()> {
        let read = |ask: &dyn Fn() -> Result<Answer>| read_again(self.transport(), PAGE_LIMIT, what, ask);
        let mut answer = read(&|| self.ask_origin(first, what))?;
        for _ in 0..MAX_PAGES {
            let (uri, headers, bytes) = answer;
            let page =
                serde_json::from_slice(&bytes).map_err(|source| Error::Json { what: what.to_owned(), source })?;
            each(page, &headers);
            let Some(next) = next_page(&headers) else { return Ok(()) };
            answer = read(&|| self.next(&uri, next, first, what))?;
        }
        Err(Error::Protocol {
            host: self.domain().to_owned(),
            detail: format!("{what}: the list does not end after {MAX_PAGES} pages"),
        })
    }

    fn next(&self, base: &Uri, link: &str, first: &Ask<'_>, what: &str) -> Result<Answer> {
        let uri = resolve(base, link)?;
        if !same_origin(base, &uri) || uri == *base {
            let detail = format!("{what}: the next page is said to be at {uri}");
            return Err(Error::Protocol { host: display_host(base), detail });
        }
        let mut call = Call { headers: first.headers.clone(), ..Call::get(uri) };
        let (uri, response) = self.host().call_again(self.transport(), &mut call)?;
        self.accept(uri, response, what)
    }
}

/// The address in `<…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values.filter_map(link).next()
}

fn link(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, params) = after.split_once('>')?;
        let end = params.find('<').unwrap_or(params.len());
        let is_next = params[..end].split([';', ',']).any(|param| {
            let (name, value) = param.split_once('=').unwrap_or(("", ""));
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        });
        if is_next {
            return Some(target);
        }
        rest = &params[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_next_page() {
        for (value, expected) in [
            (r#"</v2/x/tags/list?last=b&n=2>; rel="next""#, Some("/v2/x/tags/list?last=b&n=2")),
            (r#"<https://r/x>; rel=next"#, Some("https://r/x")),
            (r#"</a>; rel="prev", </b>; title="x"; rel="next""#, Some("/b")),
            (r#"</a>; rel="prev""#, None),
            ("<", None),
            ("", None),
        ] {
            assert_eq!(link(value), expected, "{value}");
        }
    }
}
