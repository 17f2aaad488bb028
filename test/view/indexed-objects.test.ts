import fc from 'fast-check'
import t from 'tap'
import { IndexedObjects } from '../../src/view/indexed-objects.ts'

type Item = { namespace: string; name: string; keys: string[] }

const item = (name: string, ...keys: string[]): Item => ({ namespace: 'shop', name, keys })

const filled = (...items: Item[]) => {
  const objects = new IndexedObjects<Item, 'key'>({ key: ({ keys }) => keys })
  for (const object of items) objects.put(object)
  return objects
}

const names = (items: Iterable<Item>) => Array.from(items, ({ name }) => name)

t.test('an object is found by its name', async (t) => {
  const orders = item('orders')
  const objects = filled(orders, item('pay'))
  t.equal(objects.get({ namespace: 'shop', name: 'orders' }), orders)
  t.equal(objects.get({ namespace: 'test', name: 'orders' }), undefined)
  t.equal(objects.get({ namespace: 'shop', name: 'nothing' }), undefined)
})

t.test('objects are found by each of their keys, in the order in which they came', async (t) => {
  const objects = filled(item('b', 'x', 'y'), item('a', 'x'), item('c'))
  t.strictSame(names(objects.under('key', 'x')), ['b', 'a'])
  t.strictSame(names(objects.under('key', 'y')), ['b'])
  t.strictSame(names(objects.under('key', 'z')), [])
  t.strictSame(names(objects.all()), ['b', 'a', 'c'])
})

t.test('objects are found by their namespace', async (t) => {
  const objects = filled(item('a'), { ...item('b'), namespace: 'test' }, item('c'))
  t.strictSame(names(objects.within('shop')), ['a', 'c'])
  t.strictSame(names(objects.within('test')), ['b'])
  t.strictSame(names(objects.within('nothing')), [])
})

t.test('of an object is kept what is made of it', async (t) => {
  const objects = new IndexedObjects<Item, 'key'>({ key: ({ keys }) => keys }, (one) => ({
    ...one,
    keys: one.keys.slice(1),
  }))
  objects.put(item('a', 'x', 'y'))
  t.strictSame(objects.get(item('a')), item('a', 'y'))
  t.strictSame(names(objects.under('key', 'x')), [])
  t.strictSame(names(objects.under('key', 'y')), ['a'])
})

t.test('an object with a key twice is found once', async (t) => {
  t.strictSame(names(filled(item('a', 'x', 'x')).under('key', 'x')), ['a'])
})

t.test('an object that is put again replaces itself, keys and all', async (t) => {
  const objects = filled(item('a', 'x', 'y'), item('a', 'y', 'z'))
  t.strictSame(names(objects.all()), ['a'])
  t.strictSame(objects.under('key', 'x'), [])
  t.strictSame(objects.under('key', 'y'), [item('a', 'y', 'z')])
  t.strictSame(names(objects.under('key', 'z')), ['a'])
})

t.test('an object that is deleted is gone, the others stay', async (t) => {
  const objects = filled(item('a', 'x'), item('b', 'x'))
  objects.delete({ namespace: 'shop', name: 'a' })
  t.equal(objects.get(item('a')), undefined)
  t.strictSame(names(objects.under('key', 'x')), ['b'])
  t.strictSame(names(objects.all()), ['b'])
})

t.test('deleting what is not there changes nothing', async (t) => {
  const objects = filled(item('a', 'x'))
  objects.delete({ namespace: 'test', name: 'a' })
  t.strictSame(names(objects.under('key', 'x')), ['a'])
})

t.test('what was asked for does not change afterwards', async (t) => {
  const objects = filled(item('a', 'x'))
  const before = objects.under('key', 'x')
  objects.put(item('b', 'x'))
  t.strictSame(names(before), ['a'])
})

const key = fc.constantFrom('x', 'y', 'z', '__proto__', 'constructor')
const anyItem = fc.record({
  namespace: fc.constantFrom('shop', 'test'),
  name: fc.constantFrom('a', 'b', 'c'),
  keys: fc.array(key, { maxLength: 4 }),
})
const change = fc.record({ operation: fc.constantFrom('put', 'delete'), object: anyItem })

t.test('whatever is put and deleted, the index says what a look at all of it says', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const objects = new IndexedObjects<Item, 'key'>({ key: ({ keys }) => keys })
      const expected = new Map<string, Item>()
      for (const { operation, object } of changes) {
        const name = `${object.namespace}/${object.name}`
        if (operation === 'put') {
          objects.put(object)
          expected.set(name, object)
        } else {
          objects.delete(object)
          expected.delete(name)
        }
      }
      const set = (items: Iterable<Item>) => JSON.stringify(Array.from(items, (one) => JSON.stringify(one)).sort())
      return (
        set(objects.all()) === set(expected.values()) &&
        objects.size === expected.size &&
        ['x', 'y', 'z', '__proto__', 'constructor'].every(
          (key) =>
            set(objects.under('key', key)) === set([...expected.values()].filter(({ keys }) => keys.includes(key))),
        )
      )
    }),
  )
})

t.test('what was put and deleted leaves nothing behind', async () => {
  fc.assert(
    fc.property(fc.array(anyItem), (items) => {
      const objects = filled(...items)
      for (const object of items) objects.delete(object)
      return (
        [...objects.all()].length === 0 &&
        objects.size === 0 &&
        items.every(({ keys }) => keys.every((key) => objects.under('key', key).length === 0))
      )
    }),
  )
})
