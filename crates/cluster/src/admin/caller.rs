use std::sync::Arc;

use tonic::Request;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

use crate::membership::Author;
use crate::transport::OpenConnection;

/// Who asked first, and from where, in the metadata of a call that another node has passed on.
const WHO: &str = "sessile-who-bin";
const FROM: &str = "sessile-from-bin";

/// What whoever asks has proved to be. Whatever checks that puts it among the extensions of the request.
#[derive(Debug, Clone)]
pub(crate) struct ProvenName(pub(crate) String);

/// Who asks for something. `passed_on`: a member of the cluster says who asked it.
pub(super) fn author<T>(request: &Request<T>, passed_on: bool) -> Author {
    let told = |key| passed_on.then(|| text(request.metadata(), key)).flatten();
    let who = || request.extensions().get::<ProvenName>().map(|ProvenName(name)| name.clone());
    let from = || request.extensions().get::<Arc<OpenConnection>>().and_then(|connection| connection.from());
    Author::operator(
        told(WHO).or_else(who).unwrap_or_else(|| "an operator".to_owned()),
        told(FROM).or_else(|| from().map(|address| address.to_string())).unwrap_or_default(),
    )
}

/// Says with a call that is passed on who asked first.
pub(super) fn tell(author: &Author, metadata: &mut MetadataMap) {
    for (key, text) in [(WHO, &author.who), (FROM, &author.from)] {
        metadata.insert_bin(key, BinaryMetadataValue::from_bytes(text.as_bytes()));
    }
}

fn text(metadata: &MetadataMap, key: &str) -> Option<String> {
    let bytes = metadata.get_bin(key)?.to_bytes().ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_is_believed_when_it_says_who_asked() {
        let first = Author::operator("token backup".to_owned(), "10.0.0.9:1234".to_owned());
        let mut request = Request::new(());
        tell(&first, request.metadata_mut());
        assert_eq!(author(&request, true), first);
        assert_eq!(author(&request, false).who, "an operator");
        request.extensions_mut().insert(ProvenName("uid 0".to_owned()));
        assert_eq!(author(&request, false).who, "uid 0");
    }
}
