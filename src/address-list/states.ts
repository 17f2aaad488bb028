import type { AddressState } from '../vip/ledger.ts'

/** What the states of vip/ledger.ts mean to who reads the list, and what to do about each: for --help, messages and documentation alike. */
export const states: Readonly<Record<AddressState, { meaning: string; remedy: string }>> = {
  held: {
    meaning: 'one Service lists it, and its claim is for that one',
    remedy: 'nothing',
  },
  unclaimed: {
    meaning: 'one Service lists it, and no claim keeps others from getting it',
    remedy:
      'wait some minutes, in which meshvip claims it for that Service; if it stays, see that meshvip runs and may create ipaddresses',
  },
  orphaned: {
    meaning: 'it is claimed for a Service that is not there, or does not list it, and nobody else has it',
    remedy:
      'wait some minutes, in which meshvip deletes the claim; if it stays, see that meshvip runs and may delete ipaddresses, or do it by kubectl delete ipaddress ADDRESS',
  },
  duplicate: {
    meaning: "several have it, a Service among them, and get each other's traffic and telemetry",
    remedy:
      'leave it to one of them, to the one that it is claimed for if there is a claim, and take it out of spec.externalIPs of the others: in the manifest, or by kubectl edit where no manifest lists it, since an apply leaves it there; then a virtual host is given a free address',
  },
  foreign: {
    meaning: 'it is of a pool, and a ServiceEntry, a load balancer or a claim that is for no Service has it',
    remedy: 'nothing: as long as that is so, no Service is given it',
  },
  outside: {
    meaning: 'it is of no pool and not on the allow-list, and a virtual host lists it',
    remedy:
      'take it out of spec.externalIPs: in the manifest, or by kubectl edit where no manifest lists it, since an apply leaves it there; then a free address is written in. Or have the owners of the cluster allow it (allowedExternalIPs)',
  },
}

export const stateNames = Object.keys(states) as AddressState[]
