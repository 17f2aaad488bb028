import fc from 'fast-check'
import t from 'tap'
import { Fields, MalformedObject } from '../../src/api/fields.ts'
import { thrown } from '../support/thrown.ts'

t.test('an absent field and a null one are the same', async (t) => {
  for (const object of [{}, { field: null }]) {
    const fields = new Fields(object)
    t.equal(fields.has('field'), false)
    t.equal(fields.raw('field'), undefined)
    t.equal(fields.string('field'), undefined)
    t.equal(fields.number('field'), undefined)
    t.equal(fields.boolean('field'), undefined)
    t.strictSame(fields.object('field').value, {})
    t.equal(fields.stringMap('field').size, 0)
    t.strictSame(fields.strings('field'), [])
    t.strictSame(
      fields.list('field', (item) => item.path),
      [],
    )
  }
})

t.test('a field of the right type is read as it is, also where it is falsy', async (t) => {
  const fields = new Fields({ empty: '', zero: 0, no: false, list: ['a', ''], map: { app: 'orders', tier: null } })
  t.equal(fields.string('empty'), '')
  t.equal(fields.number('zero'), 0)
  t.equal(fields.boolean('no'), false)
  t.equal(fields.has('no'), true)
  t.strictSame(fields.strings('list'), ['a', ''])
  t.strictSame(
    [...fields.stringMap('map')],
    [
      ['app', 'orders'],
      ['tier', ''],
    ],
  )
})

t.test('an object that is none is refused', async (t) => {
  for (const value of [undefined, null, 'text', 5, true, []]) {
    t.equal(
      thrown(() => new Fields(value)),
      'MalformedObject: the object must be an object',
    )
    t.equal(
      thrown(() => new Fields(value, 'spec')),
      'MalformedObject: spec must be an object',
    )
  }
})

t.test('a field of a wrong type is refused by its path', async (t) => {
  const spec = new Fields({
    spec: {
      text: 5,
      number: '5',
      boolean: 'true',
      object: [],
      map: { app: 1 },
      list: {},
      strings: ['a', 5],
      items: [{}, 5],
    },
  }).object('spec')
  const rows: [read: () => unknown, field: string, expected: string][] = [
    [() => spec.string('text'), 'spec.text', 'a string'],
    [() => spec.number('number'), 'spec.number', 'a number'],
    [() => spec.boolean('boolean'), 'spec.boolean', 'true or false'],
    [() => spec.object('object'), 'spec.object', 'an object'],
    [() => spec.stringMap('map'), 'spec.map[app]', 'a string'],
    [() => spec.strings('list'), 'spec.list', 'a list'],
    [() => spec.list('list', String), 'spec.list', 'a list'],
    [() => spec.strings('strings'), 'spec.strings[1]', 'a string'],
    [() => spec.list('items', String), 'spec.items[1]', 'an object'],
  ]
  for (const [read, field, expected] of rows) {
    t.equal(thrown(read), `MalformedObject: ${field} must be ${expected}`)
    t.throws(read, { name: 'MalformedObject', field }, field)
  }
})

t.test('a field at the top is named without a dot before it', async (t) => {
  t.equal(
    thrown(() => new Fields({ kind: 5 }).string('kind')),
    'MalformedObject: kind must be a string',
  )
})

t.test('an item of a list knows its path', async (t) => {
  const spec = new Fields({ spec: { http: [{}, { route: [{}] }] } }).object('spec')
  const paths = spec.list('http', (http) => [http.path, ...http.list('route', (route) => route.path)])
  t.strictSame(paths, [['spec.http[0]'], ['spec.http[1]', 'spec.http[1].route[0]']])
})

t.test('what an object inherits is no field of it', async (t) => {
  const fields = new Fields({})
  for (const key of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) t.equal(fields.has(key), false, key)
})

t.test('a key __proto__ that came in JSON is a key like any other', async (t) => {
  const fields = new Fields(JSON.parse('{"labels":{"__proto__":"a","constructor":"b"}}'))
  t.strictSame(
    [...fields.stringMap('labels')],
    [
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ],
  )
})

t.test('every map of strings is read back whole', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string(), fc.string())), (pairs) => {
      const map = Object.fromEntries(pairs)
      const read = new Fields({ map }).stringMap('map')
      return read.size === Object.keys(map).length && Object.keys(map).every((key) => read.get(key) === map[key])
    }),
  )
})

t.test('whatever JSON comes, reading it gives a value or MalformedObject', async () => {
  const reads: ((fields: Fields) => unknown)[] = [
    (fields) => fields.string('a'),
    (fields) => fields.number('a'),
    (fields) => fields.boolean('a'),
    (fields) => fields.object('a').object('a'),
    (fields) => fields.stringMap('a'),
    (fields) => fields.strings('a'),
    (fields) => fields.list('a', (item) => item.list('a', (inner) => inner.value)),
  ]
  const json = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, '', 'text', 0, 5, true),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.record({ a: tie('value') }),
    ),
  })).value
  fc.assert(
    fc.property(json, fc.constantFrom(...reads), (value, read) => {
      try {
        read(new Fields(value))
      } catch (error) {
        if (!(error instanceof MalformedObject)) throw error
      }
    }),
  )
})
