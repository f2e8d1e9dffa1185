//! The pages of a listing, and the tokens that continue it.

use super::Result;
use super::input::Input;

impl Input<'_> {
    /// The `Limit` of the request, by default 50.
    pub(super) fn page_limit(&self) -> Result<usize> {
        let limit = self.integer("Limit", 1, 50)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(limit.unwrap_or(50))
    }
}

/// One page of a listing, newest item first, and the token of the next page. `None` if the token is invalid. The items
/// are oldest first.
///
/// A token consists of `owner`, the number of the application whose items are listed, and of the number of the last
/// item on the page. So a token stays valid, whatever is created and deleted between two pages. It also fits the
/// narrower of the model's two patterns for tokens.
pub(super) fn page<'a, T>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    number_of: impl Fn(&T) -> u64,
    owner: u64,
    limit: usize,
    token: Option<&str>,
) -> Option<(Vec<&'a T>, Option<String>)> {
    let before = token.map_or(Some(u64::MAX), |token| number_in(token, owner))?;
    let mut rest = items.rev().filter(|item| number_of(item) < before);
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = shown.last().filter(|_| more);
    let next = next.map(|last| token_with(number_of(last), owner));
    Some((shown, next))
}

/// As [`page`], but the token has the number of items on the pages so far, so that a creation or deletion between two
/// pages shifts the next page.
pub(super) fn page_by_position<'a, T>(
    items: impl DoubleEndedIterator<Item = &'a T>,
    owner: u64,
    limit: usize,
    token: Option<&str>,
) -> Option<(Vec<&'a T>, Option<String>)> {
    let from = token.map_or(Some(0), |token| number_in(token, owner))?;
    let from = usize::try_from(from).ok()?;
    let mut rest = items.rev().skip(from);
    let shown: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().is_some().then(|| from + shown.len());
    let next = next.and_then(|next| Some(token_with(u64::try_from(next).ok()?, owner)));
    Some((shown, next))
}

fn token_with(number: u64, owner: u64) -> String {
    format!("{owner:016x}{number:016x}")
}

fn number_in(token: &str, owner: u64) -> Option<u64> {
    let digits = token.strip_prefix(&format!("{owner:016x}"))?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u64::from_str_radix(digits, 16).ok();
    number.filter(|_| is_ours)
}
