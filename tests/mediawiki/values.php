<?php
// Values of all kinds by MediaWiki's own classes, for migrate.sh:
//
//     values.php write FORM KEY      RedisBagOStuff stores them
//     values.php compare FORM KEY    RESTBagOStuff reads them, after the import; and they are the bytes that it would write
//
// FORM is json or php, KEY its hmac_key or nothing.

require_once getenv( 'MW_INSTALL_PATH' ) . '/maintenance/Maintenance.php';

class Values extends Maintenance {
	public function __construct() {
		parent::__construct();
		$this->addArg( 'what', 'write or compare' );
		$this->addArg( 'form', 'json or php' );
		$this->addArg( 'key', 'hmac_key', false );
	}

	// What SessionBackend stores, and what else PHP has. Each with whether JSON has it.
	private function values(): array {
		$deep = 'end';
		for ( $depth = 0; $depth < 60; $depth++ ) {
			$deep = $depth % 2 ? [ $deep ] : [ "level $depth" => $deep ];
		}
		$object = new stdClass();
		$object->a = [ 1, 'b' => null ];
		return [
			'session' => [ [ 'data' => [ 'wsUserID' => 1, 'wsUserName' => "Ad\u{e9}la \u{1F600}", 'wsTokenSecrets' =>
				[ 'default' => bin2hex( random_bytes( 16 ) ) ], 'AuthManager::lastAuthId' => 1, 'time' => 1.5 ],
				'metadata' => [ 'provider' => 'CookieSessionProvider', 'userVerified' => true, 'expires' => 1700000000,
					'remembered' => false, 'forceHTTPS' => false, 'providerMetadata' => null ] ], true ],
			'zero' => [ 0, true ],
			'number' => [ 7, true ],
			'negative' => [ -7, true ],
			'largest' => [ PHP_INT_MAX, true ],
			'smallest' => [ PHP_INT_MIN, true ],
			'digits' => [ '7', true ],
			'leading zero' => [ '007', true ],
			'empty text' => [ '', true ],
			'null' => [ null, true ],
			'true' => [ true, true ],
			'floats' => [ [ 0.1, 1.0, 1e25, 1.5e-7, -2.5, 1e15, 123456789.123, M_PI ], true ],
			'text' => [ "a/b \\ \" ' < > & \u{e9} \u{2028} \u{1F600} \x7f", true ],
			'control' => [ implode( array_map( 'chr', range( 0, 31 ) ) ), true ],
			'empty' => [ [], true ],
			'list' => [ [ 'a', 'b', [ 'c' ] ], true ],
			'not a list' => [ [ 1 => 'a', 0 => 'b' ], true ],
			'map' => [ [ 'a' => 1, 5 => 2, -1 => 3, '' => 4, "\u{e9}" => 5 ], true ],
			'deep' => [ $deep, true ],
			'large' => [ str_repeat( 'Sessile; {s:3:"abc";} ', 10000 ), true ],
			'object' => [ $object, false ],
			'object inside' => [ [ 'a' => [ $object ] ], false ],
			'bytes' => [ "\xff\xfe", false ],
			'infinite' => [ INF, false ],
		];
	}

	public function execute() {
		global $wgObjectCaches;
		$what = $this->getArg( 0 );
		$form = strtoupper( $this->getArg( 1 ) );
		$key = (string)$this->getArg( 2, '' );
		// The same secrets in both runs.
		$values = $this->values();
		$values['session'][0]['data']['wsTokenSecrets']['default'] = md5( 'the same' );

		$redis = new RedisBagOStuff( [ 'servers' => [ getenv( 'SESSILE_REDIS' ) ], 'keyspace' => 'values' ] );
		$rest = new RESTBagOStuff( [ 'serialization_type' => $form, 'hmac_key' => $key, 'keyspace' => 'values' ]
			+ $wgObjectCaches['sessile-POST'] );
		if ( $what === 'write' ) {
			foreach ( $values as $name => [ $value ] ) {
				$redis->set( $redis->makeKey( 'value', $name ), $value, 600 ) || $this->fatalError( "not written: $name" );
			}
			return;
		}
		$encode = new ReflectionMethod( $rest, 'encodeBody' );
		$encode->setAccessible( true );
		foreach ( $values as $name => [ $value, $has_json ] ) {
			$cache_key = $rest->makeKey( 'value', $name );
			$handle = curl_init( getenv( 'SESSILE_STORE' ) . rawurlencode( $cache_key ) );
			curl_setopt( $handle, CURLOPT_RETURNTRANSFER, true );
			$body = curl_exec( $handle );
			$status = curl_getinfo( $handle, CURLINFO_RESPONSE_CODE );
			if ( $form === 'JSON' && !$has_json ) {
				$status === 404 || $this->fatalError( "$name: $status, and JSON has no such value" );
				continue;
			}
			$status === 200 || $this->fatalError( "$name: $status" );
			$body === $encode->invoke( $rest, $value )
				|| $this->fatalError( "$name: other bytes than RESTBagOStuff writes: " . substr( $body, 0, 200 ) );
			$read = $rest->get( $cache_key );
			$expected = $form === 'JSON' ? json_decode( json_encode( $value ), true ) : $value;
			$read == $expected || $this->fatalError( "$name: RESTBagOStuff reads another value" );
		}
	}
}

$maintClass = Values::class;
require_once RUN_MAINTENANCE_IF_MAIN;
