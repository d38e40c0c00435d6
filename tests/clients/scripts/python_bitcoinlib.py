"""A payment with python-bitcoinlib: the chain through its RPC client, the transaction built and signed by its own code.

Arguments: the node's address, its cookie file.
"""

import sys
from hashlib import sha256

import bitcoin
import bitcoin.rpc
from bitcoin.core import COIN, CMutableTransaction, CMutableTxIn, CMutableTxOut, COutPoint, b2lx, lx
from bitcoin.core.script import SIGHASH_ALL, CScript, SignatureHash
from bitcoin.core.scripteval import VerifyScript
from bitcoin.wallet import CBitcoinSecret, P2PKHBitcoinAddress

MATURITY = 100

address, cookie_file = sys.argv[1:]
bitcoin.SelectParams("regtest")
with open(cookie_file, encoding="ascii") as file:
    cookie = file.read().strip()
node = bitcoin.rpc.Proxy(service_url=f"http://{cookie}@{address}")

assert node.getblockcount() == 0
assert b2lx(node.getblockhash(0)) == b2lx(bitcoin.params.GENESIS_BLOCK.GetHash())

secret = CBitcoinSecret.from_secret_bytes(sha256(b"python-bitcoinlib").digest())
mine = P2PKHBitcoinAddress.from_pubkey(secret.pub)
other = P2PKHBitcoinAddress.from_pubkey(CBitcoinSecret.from_secret_bytes(sha256(b"other").digest()).pub)
hashes = node.call("generatetoaddress", MATURITY + 1, str(mine))
assert node.getbestblockhash() == lx(hashes[-1])

block = node.getblock(lx(hashes[0]))
coinbase = block.vtx[0]
assert coinbase.vout[0].scriptPubKey == mine.to_scriptPubKey()
coin = node.gettxout(COutPoint(coinbase.GetTxid(), 0))
assert coin["txout"].nValue == 50 * COIN

fee = 1_000
tx = CMutableTransaction(
    [CMutableTxIn(COutPoint(coinbase.GetTxid(), 0))],
    [
        CMutableTxOut(20 * COIN, other.to_scriptPubKey()),
        CMutableTxOut(30 * COIN - fee, mine.to_scriptPubKey()),
    ],
)
digest = SignatureHash(mine.to_scriptPubKey(), tx, 0, SIGHASH_ALL)
tx.vin[0].scriptSig = CScript([secret.sign(digest) + bytes([SIGHASH_ALL]), secret.pub])
VerifyScript(tx.vin[0].scriptSig, mine.to_scriptPubKey(), tx, 0, ())

txid = node.sendrawtransaction(tx)
assert node.getrawmempool() == [txid]
assert node.getrawtransaction(txid).GetTxid() == tx.GetTxid()
node.call("generatetoaddress", 1, str(other))
assert node.getrawmempool() == []
shown = node.call("getrawtransaction", b2lx(txid), True)
assert shown["confirmations"] == 1
assert b2lx(node.getblock(lx(shown["blockhash"])).vtx[1].GetTxid()) == b2lx(txid)

try:
    node.getblockhash(1_000)
except IndexError:
    pass
else:
    raise AssertionError("there is no such block")
print("paid", b2lx(txid))
