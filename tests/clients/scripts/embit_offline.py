"""Signs a payment offline with embit. Knows no node: everything is in the arguments.

Arguments: "address", or "sign" with the coin's transaction in hexadecimal, the number of its output, and an address to pay.
Prints the address, or the signed transaction in hexadecimal.
"""

import sys
from hashlib import sha256

from embit import ec, script
from embit.finalizer import finalize_psbt
from embit.networks import NETWORKS
from embit.psbt import PSBT
from embit.transaction import Transaction, TransactionInput, TransactionOutput

FEE = 1_000

key = ec.PrivateKey(sha256(b"embit, far from any network").digest())
mine = script.p2pkh(key.get_public_key())

if sys.argv[1] == "address":
    print(mine.address(NETWORKS["regtest"]))
    sys.exit()

previous = Transaction.from_string(sys.argv[2])
number = int(sys.argv[3])
value = previous.vout[number].value
assert previous.vout[number].script_pubkey == mine
tx = Transaction(
    vin=[TransactionInput(previous.txid(), number)],
    vout=[TransactionOutput(value - FEE, script.address_to_scriptpubkey(sys.argv[4]))],
)
psbt = PSBT(tx)
psbt.inputs[0].non_witness_utxo = previous
assert psbt.sign_with(key) == 1
print(finalize_psbt(psbt).serialize().hex())
