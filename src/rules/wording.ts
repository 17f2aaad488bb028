import { virtualHostLabel } from '../api/service.ts'
import type { Destination, Match } from '../api/virtual-service.ts'
import type { Emission } from '../istio/emission.ts'

/** What becomes of requests for a destination whose cluster is not there, or is of no use. */
export const unreachable = ({ isMirror }: Destination, because = 'does not exist'): string =>
  isMirror
    ? `the cluster that this names ${because}, and the copies are lost`
    : `the route leads to a cluster that ${because}, and callers get 503`

/** How a fix ends that is for those only who mean a virtual host: what no label calls one is none with such fields. */
export const withoutLabel = `, or take the label ${virtualHostLabel} away`

/** Whether what sidecars are not given may be meant for another gateway that is listed: nobody here knows its hosts and ports. */
export const mayBeGateways = ({ otherGateways }: Emission, match: Match | undefined): boolean =>
  otherGateways.length > 0 &&
  (match === undefined || match.gateways.length === 0 || match.gateways.some((gateway) => gateway !== 'mesh'))

/** Whether there are hosts of which nobody knows the ports, as long as they are not there. */
export const hasUnknownPorts = ({ hosts }: Emission): boolean =>
  hosts.some(({ kind }) => kind === 'missing' || kind === 'foreign' || kind === 'hidden')

/** How many ports a message lists. */
const maxPorts = 10

/** Many findings may be about the same list. */
const texts = new WeakMap<readonly number[], string>()

/** Ports in a message, in their order; empty for none. */
export const listed = (ports: readonly number[]): string => {
  const known = texts.get(ports)
  if (known !== undefined) return known
  const sorted = [...ports].sort((a, b) => a - b)
  const text = `${sorted.slice(0, maxPorts).join(', ')}${sorted.length > maxPorts ? ', ...' : ''}`
  texts.set(ports, text)
  return text
}
