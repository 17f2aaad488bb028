import fc from 'fast-check'
import t from 'tap'
import { defaultCapacity, Load } from '../../src/server/capacity.ts'
import { bodyLimit } from '../../src/server/webhook.ts'

t.test('what is under way never exceeds the capacity, and all that is done with can be taken on again', async () => {
  const sizes = fc.array(fc.record({ bytes: fc.nat(40), done: fc.nat(8) }), { maxLength: 100 })
  fc.assert(
    fc.property(sizes, (arrivals) => {
      const load = new Load({ reviews: 5, bytes: 100 })
      const underWay: { bytes: number; end: () => void }[] = []
      for (const { bytes, done } of arrivals) {
        for (const { end } of underWay.splice(0, done)) end()
        const held = underWay.reduce((sum, review) => sum + review.bytes, 0)
        const end = load.take(bytes)
        const fits = underWay.length < 5 && held + bytes <= 100
        if ((end !== undefined) !== fits) return false
        if (end !== undefined) underWay.push({ bytes, end })
      }
      return true
    }),
  )
})

t.test('one review is taken, however large', async (t) => {
  const load = new Load({ reviews: 1, bytes: 10 })
  const end = load.take(11)
  t.type(end, 'function')
  t.equal(load.take(0), undefined)
  end?.()
  t.type(load.take(11), 'function')
})

t.test('several of the largest reviews fit at a time', async (t) => {
  t.ok(defaultCapacity.bytes >= 8 * bodyLimit)
})
