<?php
// The two stores as the story of run.sh needs them filled and compared:
//
//     keys.php REDIS_PORT fill COUNT          sessions of a wiki, and what is no session
//     keys.php REDIS_PORT fill-few COUNT      sessions of an application, with the prefix app:
//     keys.php REDIS_PORT compare BASE_URI COUNT
//                                             each session is in both, the same, with what is left of its lifetime
//     keys.php REDIS_PORT COMMAND [ARG...]    any command of Redis
//
// PASSWORD   of Redis, if it has one

[ , $port, $what ] = $argv;
$redis = new Redis();
$redis->connect( '127.0.0.1', (int)$port, 5 );
$redis->setOption( Redis::OPT_READ_TIMEOUT, 60 );
$password = getenv( 'PASSWORD' );
if ( $password ) {
	$redis->auth( $password );
}

function session_key( int $nth ): string {
	return 'enwiki:MWSession:secret' . md5( "key $nth" );
}

// Of all bytes, 200 to 3,000 of them.
function session_value( int $nth ): string {
	$value = "secret value $nth \0\r\n\xff";
	while ( strlen( $value ) < 200 + $nth * 7 % 2800 ) {
		$value .= md5( $value, true );
	}
	return $value;
}

function fill( Redis $redis, int $count ): void {
	for ( $nth = 0; $nth < $count; $nth++ ) {
		if ( $nth % 1000 === 0 ) {
			$nth === 0 || $redis->exec();
			$redis->multi( Redis::PIPELINE );
		}
		$redis->setex( session_key( $nth ), 9000 + $nth % 70000, session_value( $nth ) );
	}
	$redis->exec();
	for ( $nth = 0; $nth < 5; $nth++ ) {
		$redis->set( "enwiki:secret-for-ever-$nth", "secret" );
	}
	$redis->hSet( 'secret-hash-1', 'a', 'secret' );
	$redis->hSet( 'secret-hash-2', 'a', 'secret' );
	$redis->rPush( 'secret-list', 'secret' );
	$redis->zAdd( 'secret-set', 1, 'secret' );
	$redis->setex( 'secret' . str_repeat( 'k', 1018 ), 9000, 'secret, the longest key' );
	$redis->setex( 'secret' . str_repeat( 'k', 1019 ), 9000, 'secret, too long a key' );
	$redis->setex( 'secret' . str_repeat( 'k', 100000 ), 9000, 'secret, much too long a key' );
	$redis->setex( 'secret/slash', 9000, 'secret' );
	$redis->setex( "secret\xff", 9000, 'secret' );
	$redis->setex( 'secret-empty', 9000, '' );
	$redis->setex( 'secret-large', 9000, str_repeat( 'x', 1024 * 1024 + 1 ) );
	$redis->setex( 'secret-huge', 9000, str_repeat( 'x', 20 * 1024 * 1024 ) );
	$redis->setex( 'secret-largest', 9000, str_repeat( 'x', 1024 * 1024 ) );
	$redis->setex( 'secret-long-lived', 40000000, 'secret, longer than the longest lifetime' );
}

// Asks for many keys at once; calls back with each one's number, status, TTL and value.
function get_all( string $base, int $count, callable $each ): void {
	$multi = curl_multi_init();
	$handles = $begun = [];
	$next = 0;
	$start = static function ( $handle ) use ( $multi, $base, &$next, &$handles, &$begun ) {
		$nth = $next++;
		curl_setopt( $handle, CURLOPT_URL, $base . rawurlencode( session_key( $nth ) ) );
		$handles[(int)$handle] = [ $nth, null ];
		$begun[(int)$handle] = microtime( true );
		curl_multi_add_handle( $multi, $handle );
	};
	for ( $many = 0; $many < min( 64, $count ); $many++ ) {
		$handle = curl_init();
		curl_setopt_array( $handle, [ CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 30,
			CURLOPT_HEADERFUNCTION => static function ( $handle, $line ) use ( &$handles ) {
				if ( stripos( $line, 'ttl:' ) === 0 ) {
					$handles[(int)$handle][1] = (int)substr( $line, 4 );
				}
				return strlen( $line );
			} ] );
		$start( $handle );
	}
	do {
		curl_multi_exec( $multi, $running );
		curl_multi_select( $multi, 1 );
		while ( $done = curl_multi_info_read( $multi ) ) {
			$handle = $done['handle'];
			[ $nth, $ttl ] = $handles[(int)$handle];
			// How long ago it may have been answered: a busy machine has this program wait.
			$ago = microtime( true ) - $begun[(int)$handle];
			$each( $nth, curl_getinfo( $handle, CURLINFO_RESPONSE_CODE ), $ttl, curl_multi_getcontent( $handle ), $ago );
			curl_multi_remove_handle( $multi, $handle );
			if ( $next < $count ) {
				$start( $handle );
			}
			$running = 1;
		}
	} while ( $running );
}

// A lifetime is rounded up to a second, and counted by the cluster's clock, which goes by the second: it ends up to two seconds
// later, three on a machine that is slow to tick. It does not end earlier by more than what is shown, which is rounded too.
function compare( Redis $redis, string $base, int $count ): void {
	$wrong = [];
	$longest = $shortest = 0;
	get_all( $base, $count, static function ( $nth, $status, $ttl, $value, $ago ) use ( $redis, &$wrong, &$longest, &$shortest ) {
		if ( $status !== 200 ) {
			$wrong[] = "session $nth: $status";
		} elseif ( $value !== session_value( $nth ) ) {
			$wrong[] = "session $nth has another value";
		} else {
			$more = $ttl - $redis->pttl( session_key( $nth ) ) / 1000;
			$longest = max( $longest, $more - $ago );
			$shortest = min( $shortest, $more );
		}
	} );
	if ( $longest > 3 || $shortest < -1 ) {
		$wrong[] = "lifetimes differ by $shortest to $longest s";
	}
	echo count( $wrong ), " of $count are wrong\n", implode( "\n", array_slice( $wrong, 0, 5 ) ), "\n";
	exit( $wrong ? 1 : 0 );
}

switch ( $what ) {
	case 'fill':
		fill( $redis, (int)$argv[3] );
		break;
	case 'fill-few':
		for ( $nth = 0; $nth < (int)$argv[3]; $nth++ ) {
			$redis->setex( "app:secret-$nth", 9000, "secret $nth" );
		}
		break;
	case 'compare':
		compare( $redis, $argv[3], (int)$argv[4] );
		break;
	default:
		$answer = $redis->rawCommand( ...array_slice( $argv, 2 ) );
		echo is_scalar( $answer ) ? $answer : json_encode( $answer ), "\n";
}
