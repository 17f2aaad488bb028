import t from 'tap'
import { Shared } from '../../src/view/shared.ts'

t.test('equal values become the first of them', async (t) => {
  const shared = new Shared<object>(10)
  const first = [{ name: 'http', port: 3100 }]
  t.equal(shared.of(first), first)
  t.equal(shared.of([{ name: 'http', port: 3100 }]), first)
})

t.test('different values stay different', async (t) => {
  const shared = new Shared<object>(10)
  shared.of([{ port: 3100 }])
  t.strictSame(shared.of([{ port: 3111 }]), [{ port: 3111 }])
  t.strictSame(shared.of([]), [])
})

t.test('beyond the limit all are forgotten', async (t) => {
  const shared = new Shared<number[]>(2)
  const first = [1]
  shared.of(first)
  shared.of([2])
  t.equal(shared.of([1]), first)
  shared.of([3])
  t.not(shared.of([1]), first)
})
