<?php
// Read at the end of LocalSettings.php, after settings.php: two wikis of one installation, each with a database of its own,
// and three namespaces of one Sessile. farm.sh hands over what is different from run to run in the environment.

$url = static function ( $wiki ) {
	$file = getenv( 'SESSILE_WIKI_DIR' ) . '/' . basename( $wiki ) . '.url';
	return is_file( $file ) ? trim( file_get_contents( $file ) ) : 'http://127.0.0.1';
};

// A real farm looks at the name of the host.
$wgDBname = getenv( 'FARM_WIKI' );

$store = rtrim( preg_replace( '!/sessions/v1/$!', '', getenv( 'SESSILE_STORE' ) ), '/' );
foreach ( [ 'sessions', 'central', 'tokens' ] as $namespace ) {
	$wgObjectCaches[$namespace] = [ 'url' => "$store/$namespace/v1/" ] + $wgObjectCaches['sessile-POST'];
}

// Of each wiki: keys begin with its name.
$wgSessionCacheType = 'sessions';

// Of all: CentralAuth's own settings, for sessions of a day and tokens of a minute.
$wgCentralAuthSessionCacheType = 'central';
$wgCentralAuthTokenCacheType = 'tokens';

if ( getenv( 'CENTRALAUTH_DIR' ) ) {
	wfLoadExtension( 'CentralAuth', getenv( 'CENTRALAUTH_DIR' ) . '/extension.json' );
	$wgCentralAuthCookies = true;
	$wgCentralAuthAutoMigrate = true;
	$wgLocalDatabases = $wgConf->wikis = [ 'enwiki', 'dewiki' ];
	$wgConf->suffixes = [ 'wiki' ];
	foreach ( $wgLocalDatabases as $wiki ) {
		$wgConf->settings['wgServer'][$wiki] = $wgConf->settings['wgCanonicalServer'][$wiki] = $url( $wiki );
		$wgConf->settings['wgArticlePath'][$wiki] = $wgArticlePath;
	}
	return;
}

// In CentralAuth's place: whoever is logged in here and goes to another wiki takes a token along. It is good for one minute
// and once, and leads to a central session. That wiki logs in whom this names.
$wgHooks['BeforeInitialize'][] = static function ( $title, $unused, $output, $user, $request ) use ( $url ) {
	global $wgCentralAuthSessionCacheType, $wgCentralAuthTokenCacheType;
	$sessions = ObjectCache::getInstance( $wgCentralAuthSessionCacheType );
	$tokens = ObjectCache::getInstance( $wgCentralAuthTokenCacheType );
	$session = $request->getSession();

	$other = $request->getRawVal( 'goto' );
	if ( $other !== null && $user->isRegistered() ) {
		$id = $session->get( 'central' ) ?? MWCryptRand::generateHex( 32 );
		$token = MWCryptRand::generateHex( 32 );
		$session->set( 'central', $id );
		$sessions->set( $sessions->makeGlobalKey( 'session', 'farm', $id ), [ 'user' => $user->getName() ], 86400 );
		$tokens->set( $tokens->makeGlobalKey( 'token', 'farm', $token ), [ 'for' => $other, 'session' => $id ], 60 );
		$output->redirect( $url( $other ) . "/index.php?title=Main_Page&token=$token" );
	}

	$token = $request->getRawVal( 'token' );
	if ( $token !== null ) {
		$key = $tokens->makeGlobalKey( 'token', 'farm', $token );
		$promise = $tokens->get( $key );
		$tokens->delete( $key );
		$central = $promise && $promise['for'] === getenv( 'FARM_WIKI' )
			? $sessions->get( $sessions->makeGlobalKey( 'session', 'farm', $promise['session'] ) ) : null;
		if ( $central ) {
			$session->resetId();
			$session->setUser( User::newFromName( $central['user'] ) );
			$session->set( 'central', $promise['session'] );
			$session->persist();
		}
		$output->redirect( Title::newMainPage()->getFullURL() );
	}
};
