import t from 'tap'
import { parse } from 'yaml'
import { asKubectlReads } from '../../src/manifests/manifest-yaml.ts'

const as =
  (value: unknown) =>
  (text: string): [text: string, value: unknown] => [text, value]

const itself = (text: string): [text: string, value: unknown] => [text, text]

/** What `kubectl label --local -o json` of 1.36 shows for each. */
const rows: [text: string, value: unknown][] = [
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'on', 'On', 'ON', 'true', 'True', 'TRUE', '!!bool yes'].map(as(true)),
  ...['n', 'N', 'no', 'No', 'NO', 'off', 'Off', 'OFF', 'false', 'False', 'FALSE'].map(as(false)),
  ...['~', 'null', 'Null', 'NULL', ''].map(as(null)),
  ...['yEs', 'tRUE', 'nULL', 'a', '12:30:45', '2001-01-01'].map(itself),
  ...['+', '.', '._5', '.5_0', '_1', '1e', '1e400', '0x', '0b', '0b2', '0xg', '1.2.3', '0x1p3', '1-2'].map(itself),
  ['"on"', 'on'],
  ["'010'", '010'],
  ['!!str 8_080', '8_080'],
  ['! 80', '80'],
  ['!!timestamp 2001-01-01', '2001-01-01'],
  ['8_080', 8080],
  ['1__0', 10],
  ['010', 8],
  ['+010', 8],
  ['-010', -8],
  ['0800', 800],
  ['0_8', 8],
  ['00', 0],
  ['0o10', 8],
  ['0O10', 8],
  ['0x1f90', 8080],
  ['0X1F90', 8080],
  ['-0x1f', -31],
  ['0b11', 3],
  ['0B11', 3],
  ['+80', 80],
  ['1e3', 1000],
  ['1_e3', 1000],
  ['1E-3', 0.001],
  ['.5', 0.5],
  ['+.5', 0.5],
  ['5.', 5],
  ['8080.0', 8080],
  ['1_000.5', 1000.5],
  ['!!int "80"', 80],
  ['!!float 80', 80],
  ['!!set {a}', { a: null }],
  ['{on: 1, 010: 2}', { true: 1, 8: 2 }],
]

t.test('a value is what kubectl reads', async (t) => {
  for (const [text, value] of rows) t.strictSame(parse(text, asKubectlReads), value, text)
})

t.test('a merge key brings in what its map does not say, of the first of several that says it', async (t) => {
  const read = (text: string) => (parse(text, asKubectlReads) as { c: unknown }).c
  t.strictSame(read('a: &a {p: 1, q: 2}\nc: {<<: *a, q: 3}'), { p: 1, q: 3 })
  t.strictSame(read('a: &a {p: 1}\nb: &b {p: 2, q: 3}\nc: {<<: [*a, *b]}'), { p: 1, q: 3 })
  t.strictSame(read('c: {"<<": 1}'), { '<<': 1 }, 'it is one as it stands only')
})
