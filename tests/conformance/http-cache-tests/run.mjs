// Runs the suite `http-cache-tests` against a cache and prints one JSON object: what every test came to, by the
// suite's own classification.
//
//   node run.mjs --suite DIR --base http://127.0.0.1:PORT [--id TEST]...
//
// DIR is the suite: the npm package, or a checkout of its repository, whose newer tests lie elsewhere.
// Tests that need a browser are left out by the suite's own runner. With --id only these tests run, and the
// requests and responses are written to standard error.

import fs from 'node:fs'
import path from 'node:path'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { pathToFileURL } from 'node:url'

const { values: options } = parseArgs({
  options: { suite: { type: 'string' }, base: { type: 'string' }, id: { type: 'string', multiple: true } }
})
if (!options.suite || !options.base) {
  console.error('usage: node run.mjs --suite DIR --base URL [--id TEST]...')
  process.exit(2)
}
// The suite reports to standard output as it goes, which is ours for the result.
console.log = console.error

const load = file => import(pathToFileURL(path.resolve(options.suite, file)))
const suite = fs.existsSync(path.join(options.suite, 'test-engine')) ? await checkout() : await package_()

const chosen = suite.tests
  .map(group => ({ ...group, tests: group.tests.filter(test => !options.id || options.id.includes(test.id)) }))
if (options.id) chosen.forEach(group => group.tests.forEach(test => { test.dump = true }))
await suite.run(chosen)

// The third part of the suite's result types, which tells them apart.
const NAMES = {
  '✅': 'pass', '⛔️': 'fail', '⚠️': 'optional_fail', Y: 'yes', N: 'no', '🔹': 'setup_fail',
  '⁉️': 'harness_fail', '⚪️': 'dependency_fail', '↻': 'retry', '-': 'untested'
}
const results = suite.results()
const tests = chosen.flatMap(group => group.tests
  .filter(test => test.browser_only !== true)
  .map(test => {
    // A test that is run alone has no results for what it depends on.
    const type = suite.classify(suite.tests, test.id, results, !options.id)[2]
    return {
      id: test.id,
      suite: group.id,
      kind: test.kind ?? 'required',
      name: test.name,
      result: NAMES[type] ?? `unknown type ${type}`,
      message: Array.isArray(results[test.id]) ? results[test.id].join(': ') : ''
    }
  }))
const report = JSON.stringify({ suites: suite.tests.map(({ id, name }) => ({ id, name })), tests })
// Connections that are kept alive would hold the process; a pipe takes the report in parts.
process.stdout.write(report + '\n', () => process.exit(0))

// The npm package, with the tests of its command line: all that it exports and those for surrogates.
async function package_ () {
  const { runTests, getResults } = await load('client/runner.mjs')
  const { determineTestResult } = await load('lib/display.mjs')
  const require = createRequire(path.resolve(options.suite, 'package.json'))
  const fetch = require('node-fetch')
  const tests = [...(await load('tests/index.mjs')).default, (await load('tests/surrogate-control.mjs')).default]
  return {
    tests,
    run: chosen => runTests(chosen, fetch, false, options.base),
    results: getResults,
    classify: determineTestResult
  }
}

async function checkout () {
  const { runTests, getResults } = await load('test-engine/client/runner.mjs')
  const { determineTestResult } = await load('test-engine/lib/results.mjs')
  return {
    tests: (await load('tests/index.mjs')).default,
    run: chosen => runTests(chosen, false, options.base),
    results: getResults,
    classify: determineTestResult
  }
}
