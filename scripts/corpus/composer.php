<?php
// What Composer itself makes of a repository, and what PHP finds in a zip: JSON on the standard output.
//
//   php composer.php versions /path/of/a/bare/repository.git
//   php composer.php entries some.zip
//
// The classes are those of Debian's package `composer`.

require 'Composer/autoload.php';

use Composer\Config;
use Composer\IO\NullIO;
use Composer\Package\AliasPackage;
use Composer\Package\Dumper\ArrayDumper;
use Composer\Repository\VcsRepository;
use Composer\Util\HttpDownloader;

/** Every version that VcsRepository reads, as a repository would dump it. */
function versions(string $path): array
{
    $io = new NullIO();
    $config = new Config(false);
    $config->merge(['config' => ['home' => getenv('COMPOSER_HOME'), 'cache-dir' => getenv('COMPOSER_HOME') . '/cache']]);
    $repository = new VcsRepository(['type' => 'git', 'url' => $path], $io, $config, new HttpDownloader($io, $config));
    $versions = [];
    foreach ($repository->getPackages() as $package) {
        if (!$package instanceof AliasPackage) {
            $versions[] = (new ArrayDumper())->dump($package);
        }
    }
    return $versions;
}

/** The files of a zip: `{ path: "kind sha1" }`; its directories are not told. */
function entries(string $path): array
{
    $zip = new ZipArchive();
    if ($zip->open($path) !== true) {
        throw new RuntimeException("$path is no zip");
    }
    $entries = [];
    for ($index = 0; $index < $zip->numFiles; $index++) {
        $name = $zip->getNameIndex($index, ZipArchive::FL_ENC_RAW);
        if (substr($name, -1) === '/') {
            continue;
        }
        $system = $attributes = 0;
        $zip->getExternalAttributesIndex($index, $system, $attributes);
        $mode = $attributes >> 16;
        $kind = ($mode & 0170000) === 0120000 ? 'link' : (($mode & 0111) !== 0 ? 'program' : 'file');
        // JSON has no bytes: a name that is not UTF-8 is told as Latin-1.
        $name = mb_check_encoding($name, 'UTF-8') ? $name : mb_convert_encoding($name, 'UTF-8', 'ISO-8859-1');
        $entries[$name] = $kind . ' ' . sha1($zip->getFromIndex($index));
    }
    return $entries;
}

[, $command, $path] = $argv;
echo json_encode($command === 'versions' ? versions($path) : (object) entries($path), JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES);
