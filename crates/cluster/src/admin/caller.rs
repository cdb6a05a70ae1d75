use std::sync::Arc;

use tonic::Request;
use tonic::metadata::{BinaryMetadataValue, MetadataMap};

use crate::membership::Author;
use crate::transport::OpenConnection;

/// Marks a call that another node has passed on: it is not passed on again.
pub(super) const PASSED_ON: &str = "sessile-passed-on";
/// Who asked first, and from where, in the metadata of a call that another node has passed on.
const WHO: &str = "sessile-who-bin";
const FROM: &str = "sessile-from-bin";

/// Who asks for something. `passed_on`: a member of the cluster says who asked it.
pub(super) fn author<T>(request: &Request<T>, passed_on: bool) -> Author {
    let told = |key| passed_on.then(|| text(request.metadata(), key)).flatten();
    let connection = request.extensions().get::<Arc<OpenConnection>>();
    let operator = connection.and_then(|connection| connection.operator());
    let who = || operator.map(|operator| operator.who.clone());
    let from = || match operator {
        Some(operator) => Some(operator.from.clone()),
        None => connection?.from().map(str::to_owned),
    };
    Author::operator(
        told(WHO).or_else(who).unwrap_or_else(|| "an operator".to_owned()),
        told(FROM).or_else(from).unwrap_or_default(),
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
    use crate::tokens::Right;
    use crate::transport::{Connections, Operator};

    #[tokio::test]
    async fn only_a_member_is_believed_when_it_says_who_asked() {
        let first = Author::operator("token backup".to_owned(), "10.0.0.9:1234".to_owned());
        let mut request = Request::new(());
        tell(&first, request.metadata_mut());
        assert_eq!(author(&request, true), first);
        assert_eq!(author(&request, false).who, "an operator");
        let connections = Connections::new(1);
        let place = connections.place().await.unwrap();
        let (who, from) = ("uid 0".to_owned(), "the machine of n1, pid 7".to_owned());
        let local = Operator { who, from, right: Right::Admin, token: None };
        place.connection().asks_as(local);
        request.extensions_mut().insert(place.connection().clone());
        let author = author(&request, false);
        assert_eq!((author.who.as_str(), author.from.as_str()), ("uid 0", "the machine of n1, pid 7"));
    }
}
