//! Pages of collections so small that their service hands them over all at once.

use axum::Json;
use runwarden_kit::context;
use runwarden_kit::page::{self, Listing};

use super::Page;
use crate::extract::query::PageParams;
use crate::problem::Result;

/// What page tokens of a collection are good for: the tenant that the request being served is about.
pub(super) fn listing(collection: &str) -> Listing {
    let context = context::current();
    let own = context.caller.as_ref().and_then(|caller| caller.tenant());
    Listing::of(collection, context.tenant.as_deref().or(own))
}

/// The page that was asked for. `name` is what an item is told from the others by.
pub(super) fn cut<P, T: From<P>>(
    listing: &Listing,
    items: Vec<P>,
    params: &PageParams,
    name: fn(&P) -> &str,
) -> Result<Json<Page<T>>> {
    let size = page::size(params.page_size)?;
    let first = match listing.after(&params.page_token)? {
        None => 0,
        Some(last) => items.iter().position(|item| name(item) == last).ok_or_else(page::bad_token)? + 1,
    };
    let more = items.len() > first + size;
    let kept: Vec<P> = items.into_iter().skip(first).take(size).collect();
    let next_page_token = kept.last().filter(|_| more).map(|item| listing.token(name(item))).unwrap_or_default();
    Ok(Json(Page { items: kept.into_iter().map(T::from).collect(), next_page_token }))
}

#[cfg(test)]
mod tests {
    use super::{Listing, PageParams, cut};

    fn ask(page_size: i32, page_token: &str) -> (Vec<String>, String) {
        let params = PageParams { page_size, page_token: page_token.into() };
        let items = ["b", "a", "c"].map(String::from).into();
        let page = cut::<String, String>(&Listing::of("roles", None), items, &params, |name| name).unwrap().0;
        (page.items, page.next_page_token)
    }

    #[test]
    fn pages_hold_every_item_once_and_the_last_has_no_token() {
        let (first, token) = ask(2, "");
        let (second, end) = ask(2, &token);
        assert_eq!([first, second].concat(), ["b", "a", "c"]);
        assert_eq!(end, "");
        assert_eq!(ask(3, ""), (vec!["b".into(), "a".into(), "c".into()], String::new()));
    }

    #[test]
    fn a_token_of_nothing_is_refused() {
        let roles = Listing::of("roles", Some("acme"));
        for token in [roles.token("gone"), Listing::of("policies", Some("acme")).token("a"), "YQ".into()] {
            let params = PageParams { page_size: 2, page_token: token };
            let refused = cut::<String, String>(&roles, vec!["a".into()], &params, |name| name).unwrap_err();
            assert_eq!(refused.error().fields()[0].pointer, "/page_token");
        }
    }
}
