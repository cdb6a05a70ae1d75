<?php
// MediaWiki's sessions in Sessile, for the end of LocalSettings.php:
//
//     require '/usr/share/sessile/mediawiki/LocalSettings.snippet.php';
//
// Where Sessile is. Several nodes: the address of the balancer before them (deploy/haproxy, deploy/envoy). To have another
// one, set $sessile before this file is read.
$sessile ??= 'http://127.0.0.1:8081';

// The value goes as it is, as JSON; MediaWiki's default would be serialised PHP with PUT. Both work.
$wgObjectCaches['sessile'] = [
	'class' => 'RESTBagOStuff',
	'url' => "$sessile/sessions/v1/",
	'httpParams' => [
		'readHeaders' => [],
		'writeHeaders' => [ 'content-type' => 'application/octet-stream' ],
		'deleteHeaders' => [],
		'writeMethod' => 'POST',
	],
	'serialization_type' => 'JSON',
];
$wgSessionCacheType = 'sessile';

// When each user has last seen their notifications (the extension Echo), for a year. It has a namespace of its own:
//
//     sessile namespace create echo --base-uri /echoseen/v1 --default-ttl 31536000 --max-ttl 31536000
$wgObjectCaches['sessile-echo'] = [ 'url' => "$sessile/echoseen/v1/" ] + $wgObjectCaches['sessile'];
$wgEchoSeenTimeCacheType = 'sessile-echo';

// With a token of a namespace, beside the other headers of each of the three:
//     'readHeaders' => [ 'authorization' => 'Bearer …' ]
