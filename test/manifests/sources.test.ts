import { spawnSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { basename } from 'node:path'
import t, { type Test } from 'tap'
import { readSources } from '../../src/manifests/sources.ts'

async function* chunks(...parts: (string | number[])[]) {
  for (const part of parts) yield Buffer.from(part as string)
}

const folder = (t: Test, files: Record<string, unknown>) => t.testdir(files as Parameters<typeof t.testdir>[0])

const read = async (...paths: string[]) => Array.fromAsync(readSources(paths, chunks('a: ', '1\n')))

t.test('files, folders and the standard input', async (t) => {
  const at = folder(t, {
    'b.yaml': 'b',
    'a.yml': 'a',
    'c.json': '{}',
    'd.txt': 'no manifest by its name',
    below: { 'e.yaml': 'e', '.git': { 'f.yaml': 'f' }, node_modules: { 'g.yaml': 'g' }, 'dir.yaml': {} },
  })
  symlinkSync(`${at}/a.yml`, `${at}/link.yaml`)
  const names = (await read(at, `${at}/d.txt`, '-')).map((source) => ('name' in source ? source.name : source.problem))
  t.strictSame(
    names.map((name) => name.replace(at, '.')),
    ['./a.yml', './b.yaml', './below/e.yaml', './c.json', './link.yaml', './d.txt', 'stdin'],
  )
  t.strictSame((await read('-'))[0], { name: 'stdin', text: 'a: 1\n' })
})

t.test('of a folder what is no file is passed over, and what cannot be read hides nothing else', async (t) => {
  const at = folder(t, { 'b.yaml': 'b', other: {} })
  symlinkSync(`${at}/other`, `${at}/folder.yaml`)
  symlinkSync(`${at}/nowhere`, `${at}/a.yaml`)
  // Whoever opened it would wait for somebody to write into it.
  t.equal(spawnSync('mkfifo', [`${at}/pipe.yaml`]).status, 0)
  t.match(await read(at), [
    { source: `${at}/a.yaml`, line: 1, column: 1, problem: /^it cannot be read: ENOENT/ },
    { name: `${at}/b.yaml`, text: 'b' },
  ])
  t.equal((await read(at)).length, 2)
})

t.test('what cannot be read is one sentence', async (t) => {
  const at = folder(t, { empty: { 'a.txt': '' } })
  await t.rejects(read(`${at}/none`), { name: 'UsageError', message: `cannot read ${at}/none: ENOENT` })
  await t.rejects(read(`${at}/empty`), {
    name: 'UsageError',
    message: `${at}/empty has no .yaml, .yml or .json file in it`,
  })
})

t.test('what is named twice is read once', async (t) => {
  const at = folder(t, { 'a.yaml': 'a', 'b.yaml': 'b' })
  const names = (await read(`${at}/b.yaml`, at, `${at}/../${basename(at)}/a.yaml`, '-', '-')).map((source) =>
    'name' in source ? source.name : source.problem,
  )
  t.strictSame(names, [`${at}/b.yaml`, `${at}/a.yaml`, 'stdin'])
})

t.test('text is text in any language', async (t) => {
  const text = 'ä\u0085\u00a0語💥\r\n\t'
  t.strictSame(await Array.fromAsync(readSources(['-'], chunks(`\ufeff${text}`))), [{ name: 'stdin', text }])
})

t.test('what is no text is told with its place', async (t) => {
  const rows: [story: string, bytes: number[] | string, expected: object][] = [
    [
      'Latin-1',
      [...Buffer.from('a: 1\nb: '), 0xe4, 0x0a],
      { line: 2, column: 4, problem: /^it is not UTF-8 from here on/ },
    ],
    ['cut off', [...Buffer.from('ä').subarray(0, 1)], { line: 1, column: 1 }],
    ['after many letters of two bytes', [...Buffer.from('ä'.repeat(100)), 0xff], { line: 1, column: 101 }],
    ['NUL', 'a: 1\nb: \0', { line: 2, column: 4, problem: /^a NUL character/ }],
    ['an escape', '# \u001b[31m', { line: 1, column: 3, problem: /^the character U\+001b, which no manifest has/ }],
    ['what Unicode has no character for', 'a: \uffff', { line: 1, column: 4, problem: /^the character U\+ffff/ }],
    ['UTF-16', [0xff, 0xfe, 0x61, 0], { line: 1, column: 1 }],
  ]
  for (const [story, bytes, expected] of rows) {
    const [source] = await Array.fromAsync(readSources(['-'], chunks(bytes)))
    t.match(source, { source: 'stdin', ...expected }, story)
  }
})
