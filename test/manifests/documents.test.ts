import fc from 'fast-check'
import t from 'tap'
import { documentsOf, positionsOf, readDocument, stepsOf } from '../../src/manifests/documents.ts'

const documents = (text: string) => [...documentsOf({ name: 'a.yaml', text })]

const [only] = documents('').slice(0, 1)
const read = (text: string) => readDocument({ ...(only as NonNullable<typeof only>), text })

t.test('a source has documents, each with its line', async (t) => {
  const rows: [text: string, expected: [text: string, line: number][]][] = [
    ['', [['', 1]]],
    ['a: 1\n', [['a: 1\n', 1]]],
    ['---\na: 1\n', [['---\na: 1\n', 1]]],
    [
      'a: 1\n---\nb: 2\n--- # c\nc: 3',
      [
        ['a: 1\n', 1],
        ['---\nb: 2\n', 2],
        ['--- # c\nc: 3', 4],
      ],
    ],
    [
      'a: |\n  ---\n ----\nb: ---x\n---\n',
      [
        ['a: |\n  ---\n ----\nb: ---x\n', 1],
        ['---\n', 5],
      ],
    ],
    [
      '{\n  "a": {\n}\n}\n{"b": 1}\r\n\n{}\n---\n{\n}\n{}',
      [
        ['{\n  "a": {\n}\n}\n', 1],
        ['{"b": 1}\r\n\n', 5],
        ['{}\n', 7],
        ['---\n{\n}\n', 8],
        ['{}', 11],
      ],
    ],
    ['a: {\n}\n{b: 1}\n', [['a: {\n}\n{b: 1}\n', 1]]],
    ['{{ if }}\n{}', [['{{ if }}\n{}', 1]]],
    [
      '\n\n---\r\na: 1\r\n',
      [
        ['\n\n', 1],
        ['---\r\na: 1\r\n', 3],
      ],
    ],
    [
      '{"a": 1}\n{"a":\n{\n}}\n\n{"b": 2}\n',
      [
        ['{"a": 1}\n', 1],
        ['{"a":\n{\n}}\n\n', 2],
        ['{"b": 2}\n', 6],
      ],
    ],
    ['[{},\n{}]\n', [['[{},\n{}]\n', 1]]],
    [
      '---\r\n{}\r\n{}\r\n',
      [
        ['---\r\n{}\r\n', 1],
        ['{}\r\n', 3],
      ],
    ],
  ]
  for (const [text, expected] of rows)
    t.strictSame(
      documents(text).map((document) => [document.text, document.line]),
      expected,
      JSON.stringify(text),
    )
})

t.test('empty lines without end between documents take no time', async (t) => {
  const usage = process.cpuUsage()
  t.equal(documents(`{}${'\n'.repeat(1_000_000)}{}`).length, 2)
  t.ok(process.cpuUsage(usage).user < 10e6)
})

t.test('its documents are all of a source', async () => {
  const line = fc.constantFrom('---', '--- x', 'a: 1', '', '  ---', '----', '...', '{a: 1', '}')
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const text = lines.join('\n')
      const parts = documents(text)
      return (
        parts.map((part) => part.text).join('') === text &&
        parts.every(
          ({ line, text: part }, index) =>
            line === 1 + parts.slice(0, index).reduce((sum, before) => sum + before.text.split('\n').length - 1, 0) &&
            (index === 0 || /^(---|\{)/.test(part)),
        )
      )
    }),
  )
})

t.test('what is no object anybody wrote is told with its place, and takes no time', async (t) => {
  const bomb = `a: &a [x, x]\n${'bcdefghij'
    .split('')
    .map((name, i) => `${name}: &${name} [${`*${'abcdefghij'[i]}, `.repeat(9)}x]\n`)
    .join('')}`
  const deepMaps = (depth: number) => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:`).join('\n')
  const manyKeys = (count: number) => Array.from({ length: count }, (_, i) => ` k${i}: 1`).join('\n')
  const rows: [story: string, text: string, problem: RegExp, line?: number, column?: number][] = [
    ['aliases that explode', bomb, /Excessive alias count/],
    ['an alias without anchor', 'a: 1\nb: *b', /^no anchor &b stands before it in its document$/, 2, 4],
    ['an anchor behind it', 'a: *b\nb: &b 1', /^no anchor &b/, 1, 4],
    ['an anchor in itself that merges', 'a: &a {<<: *a}', /^Excessive alias count/],
    ['a template', 'a: {b: 1}\nname: {{ .Values.name }}', /^a key must be a text$/, 2, 8],
    ['a template of a key', '{{ .Values.name }}: a', /^a key must be a text$/, 1, 1],
    [
      'text behind an end',
      'a: 1\n...\nb: 2\n',
      /^after the \.\.\. that ends a document kubectl reads no further/,
      3,
      1,
    ],
    [
      'a scalar of 100 MB',
      `a: ${'x'.repeat(100_000_000)}`,
      /^a document of 100000003 characters: the API server takes 3 MiB/,
    ],
    ['deep brackets', `a: ${'['.repeat(100_000)}`, /^it is nested deeper than any object is$/, 1],
    ['deep braces over lines', '{"a":\n'.repeat(100_000), /^it is nested deeper/],
    ['deep sequences in a line', `${'- '.repeat(10_000)}x`, /^it is nested deeper/, 1],
    ['deep maps over lines', deepMaps(2_000), /^it is nested deeper/],
    ['a key within a key within a key', `${'? '.repeat(200)}x`, /^a key must be a text$/, 1, 3],
    ['a key that is a map', 'a: {{b: 1}: c}', /^a key must be a text$/, 1, 5],
    ['a key that is nothing', 'a: {b: c, ~: d}', /^a key must be a text$/, 1, 11],
    [
      'a key twice',
      'a: 1\nb: 2\na: 3\n',
      /^the key a is there for the second time: is --- missing between two objects\?$/,
      3,
      1,
    ],
    ['a key twice, once as a number', 'a: {80: 1, "80": 3}\n', /^the key 80 is there for the second time$/, 1, 12],
    ['anchors without end', '&a '.repeat(100_000), /^A node can have at most one anchor$/, 1, 4],
    ['nested maps in a line', 'a: '.repeat(100_000), /^Nested mappings are not allowed/, 1],
    [
      'a key twice beside merges',
      'a: &a {b: 1}\nc: {<<: *a, <<: *a, d: 1, d: 2}',
      /^the key d is there for the second time$/,
      2,
      27,
    ],
    ['an anchor that is used often', `a: &a 1\nb: [${'*a, '.repeat(900)}]`, /^$/],
    ['merges that explode', `a: &a\n${manyKeys(12_000)}\nb:\n${'- {<<: *a}\n'.repeat(900)}`, /^it merges more/],
    ['very many mistakes in a line', '{}'.repeat(100_000), /^Unexpected flow-map-start/, 1, 3],
    ['very many keys', manyKeys(100_000), /^$/],
    ['a tab for indentation', 'a:\n\tb: 1\n', /[Tt]abs/],
    ['an open quote', 'a: "x\n', /Missing closing "quote/],
    ['a line of dashes and letters', `a: ${'a'.repeat(1_000)}${'-'.repeat(2_000_000)}`, /^$/],
  ]
  for (const [story, text, problem, line, column] of rows) {
    const usage = process.cpuUsage()
    const answer = read(text)
    const { user } = process.cpuUsage(usage)
    t.match('problem' in answer ? answer.problem : '', problem, story)
    if (line !== undefined) t.match(answer, { line, ...(column === undefined ? {} : { column }) }, story)
    t.ok(user < 10e6, `${story}: ${user / 1e6} s`)
  }
})

t.test('a List of a cluster is longer than any object may be, within bounds', async (t) => {
  const long = 'x'.repeat(1_000_000)
  const items = (count: number) => Array.from({ length: count }, () => ({ data: long }))
  const yaml = (count: number) => `items:\n${`- data: ${long}\n`.repeat(count)}kind: List\n`
  const json = (count: number) => JSON.stringify({ items: items(count), kind: 'ServiceList' }, undefined, 4)
  for (const text of [yaml, json]) {
    t.match(read(text(4)), { value: { items: items(4) } })
    t.match(read(text(21)), {
      problem: /^a List of 21\d+ characters, of which 20 MiB are read at most: get it in parts/,
    })
  }
  const nested = `a:\n  kind: List\n${yaml(4).replace('kind: List', 'kind: ConfigMap')}`
  t.match(read(nested), { problem: /^a document of 4\d+ characters: the API server takes 3 MiB/ })
})

t.test('what a ConfigMap may have in it is nested in no way', async (t) => {
  const art = [
    '['.repeat(1_000),
    '-'.repeat(1_000),
    `${' '.repeat(1_000)}x`,
    '? '.repeat(1_000),
    '{"a":\n    '.repeat(1_000),
  ]
  for (const text of art)
    t.match(read(`data:\n  art: |\n    .\n    ${text}\n`), { value: { data: {} } }, text.slice(0, 4))
})

t.test('merge keys are merged, as kubectl does', async (t) => {
  t.match(read('a: &a {b: 1, c: 1}\nd:\n  <<: *a\n  c: 2\n'), { value: { d: { b: 1, c: 2 } } })
})

t.test('a document has a value, or is empty', async (t) => {
  t.strictSame(read('a: [1, {b: c}]'), { value: { a: [1, { b: 'c' }] } })
  t.strictSame(read('{"a": "]"}'), { value: { a: ']' } })
  t.strictSame(read('# nothing\n'), { value: null })
  t.strictSame(read('a: &a k\n*a : 1'), { value: { a: 'k', k: 1 } }, 'a key may be an alias')
})

t.test('the line of a problem is that of the source', async (t) => {
  const [, second] = documents('a: 1\n---\nb: 1\nb: 2\n')
  t.match(readDocument(second as NonNullable<typeof second>), { source: 'a.yaml', line: 4, column: 1 })
})

t.test('a field has steps', async (t) => {
  t.strictSame(stepsOf('spec.http[0].match[12].port'), ['spec', 'http', 0, 'match', 12, 'port'])
  t.strictSame(stepsOf('kind'), ['kind'])
  t.strictSame(stepsOf('metadata.labels[istio.io/rev]'), ['metadata', 'labels', 'istio.io/rev'], 'and the key of a map')
})

t.test('where a value stands, or what it would stand in', async (t) => {
  const text = [
    'metadata: {name: a}',
    'spec:',
    '  http:',
    '    - match:',
    '        - port: 3111 # x',
    '      long: |',
    '        ab',
    '        c',
    '',
  ].join('\n')
  const [, document] = documents(`a: 1\n---\n${text}`)
  const at = (field: string) => {
    const [place] = positionsOf(document as NonNullable<typeof document>, [stepsOf(field)])
    return [place?.position.line, place?.position.column, place?.length, place?.excerpt]
  }
  t.strictSame(at('metadata.name'), [3, 18, 1, 'metadata: {name: a}'])
  t.strictSame(at('spec.http[0].match[0].port'), [7, 17, 4, '        - port: 3111 # x'])
  t.strictSame(at('spec.http[0].match[0]'), [7, 11, 1, '        - port: 3111 # x'])
  t.strictSame(at('spec.http[0].match[0].sniHosts[3]'), [7, 11, 1, '        - port: 3111 # x'], 'its map')
  t.strictSame(at('spec.http[0].long').slice(0, 3), [8, 13, 1], 'the first line of several')
  t.strictSame(at('other'), [3, 1, 1, 'metadata: {name: a}'])
  const [crlf] = documents('a: 1\r\nb: 2\r\n')
  t.match(positionsOf(crlf as NonNullable<typeof crlf>, [['b']]), [
    { position: { line: 2, column: 4 }, excerpt: 'b: 2' },
  ])
  const [empty] = documents('')
  t.match(positionsOf(empty as NonNullable<typeof empty>, [['a']]), [
    { position: { line: 1, column: 1 }, length: 1, excerpt: '' },
  ])
})

t.test('what is by alias stands where its anchor does', async (t) => {
  const text = [
    'defaults: &defaults { port: 80, name: a }',
    'other: &other { name: b, protocol: c }',
    'one: *defaults',
    'two: { <<: *defaults, name: c }',
    'three: { <<: [*other, *defaults] }',
    'number: &other 81',
    'four: *other',
    'five: { <<: { port: 82 } }',
  ].join('\n')
  const [document] = documents(text)
  const at = (field: string) => {
    const [place] = positionsOf(document as NonNullable<typeof document>, [stepsOf(field)])
    return [place?.position.line, place?.position.column, place?.length]
  }
  t.strictSame(at('one.port'), [1, 29, 2])
  t.strictSame(at('two.port'), [1, 29, 2])
  t.strictSame(at('two.name'), [4, 29, 1], 'its own counts')
  t.strictSame(at('three.name'), [2, 23, 1], 'the first of those that have it')
  t.strictSame(at('three.port'), [1, 29, 2])
  t.strictSame(at('three.none'), [5, 8, 1])
  t.strictSame(at('four'), [6, 16, 2], 'the anchor that was set last before it')
  t.strictSame(at('five.port'), [8, 21, 2])
  t.strictSame(at('four.none'), [6, 16, 1])
})
