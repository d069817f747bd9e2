"""What the pages of `invoices.py` say, line by line, as a reader of PDF finds it."""

ENGLISH = """\
Invoice INV-2026-000001
From
PT Kuota Pesan Nusantara
Jl. Jenderal Sudirman Kav. 52-53
Jakarta 12190
Indonesia
Tax ID 01.234.567.8-901.000
billing@kuota.example
To
PT Toko Maju
Jl. Asia Afrika 8
Bandung 40111
Indonesia
Tax ID 02.111.222.3-444.000
finance@toko.example
Account toko-maju
Issued on December 1, 2026
Due on December 15, 2026
Period Nov 1 – 30, 2026
Time zone Asia/Jakarta
To pay by December 15, 2026 IDR 5,231,293
Description Quantity Unit Price Amount (IDR)
Omnichannel 5 seat 300,000 1,500,000
Extra seat
Nov 16 – 30, 2026
0.5 seat 300,000 150,000
Onboarding 1 fee 2,500,000 2,500,000
whatsapp marketing ID
wa-id@2026-10-01/marketing-id
960 message 586.33 562,877
exactly 562,876.8
Before tax IDR 4,712,877
PPN 12 % of 11/12 IDR 518,416
Total IDR 5,231,293
Paid before: nothing to pay
Description Quantity Unit Price To pay (IDR)
conversations service
wa-id@2026-10-01/service
500 conversation 500 0
Transfer to BCA 123-456-7890.
Thank you.
Invoice INV-2026-000001 Page 1 of 1
"""

INDONESIAN = """\
Faktur INV-2026-000001
Dari
PT Kuota Pesan Nusantara
Jl. Jenderal Sudirman Kav. 52-53
Jakarta 12190
Indonesia
Nomor pajak
01.234.567.8-901.000
billing@kuota.example
Kepada
PT Toko Maju
Jl. Asia Afrika 8
Bandung 40111
Indonesia
Nomor pajak
02.111.222.3-444.000
finance@toko.example
Akun toko-maju
Tanggal terbit 1 Desember 2026
Jatuh tempo 15 Desember 2026
Periode 1–30 Nov 2026
Zona waktu Asia/Jakarta
Harap dibayar paling lambat 15 Desember 2026 Rp 5.231.293
Uraian Jumlah Satuan Harga Nilai (IDR)
Omnichannel 5 kursi 300.000 1.500.000
Extra seat
16–30 Nov 2026
0,5 kursi 300.000 150.000
Onboarding 1 fee 2.500.000 2.500.000
whatsapp marketing ID
wa-id@2026-10-01/marketing-id
960 pesan 586,33 562.877
persisnya 562.876,8
Sebelum pajak Rp 4.712.877
PPN 12 % dari 11/12 Rp 518.416
Total Rp 5.231.293
Sudah dibayar sebelumnya: tidak ditagih
Uraian Jumlah Satuan Harga Ditagih (IDR)
conversations service
wa-id@2026-10-01/service
500 percakapan 500 0
Transfer to BCA 123-456-7890.
Thank you.
Faktur INV-2026-000001 Halaman 1 dari 1
"""

SPANISH = """\
Factura INV-2026-000001
De
PT Kuota Pesan Nusantara
Jl. Jenderal Sudirman Kav. 52-53
Jakarta 12190
Indonesia
Identificación fiscal
01.234.567.8-901.000
billing@kuota.example
Para
PT Toko Maju
Jl. Asia Afrika 8
Bandung 40111
Indonesia
Identificación fiscal
02.111.222.3-444.000
finance@toko.example
Cuenta toko-maju
Fecha de emisión 1 de diciembre de 2026
Vencimiento 15 de diciembre de 2026
Período 1–30 nov 2026
Zona horaria Asia/Jakarta
A pagar hasta el 15 de diciembre de 2026 5.231.293 IDR
Concepto Cantidad Unidad Precio Importe (IDR)
Omnichannel 5 puesto 300.000 1.500.000
Extra seat
16–30 nov 2026
0,5 puesto 300.000 150.000
Onboarding 1 fee 2.500.000 2.500.000
whatsapp marketing ID
wa-id@2026-10-01/marketing-id
960 mensaje 586,33 562.877
exacto 562.876,8
Antes de impuestos 4.712.877 IDR
PPN 12 % de 11/12 518.416 IDR
Total 5.231.293 IDR
Pagado antes: nada que pagar
Concepto Cantidad Unidad Precio A pagar (IDR)
conversations service
wa-id@2026-10-01/service
500 conversación 500 0
Transfer to BCA 123-456-7890.
Thank you.
Factura INV-2026-000001 Página 1 de 1
"""

CREDIT_NOTE = """\
Credit note CN-2026-000001
From
PT Kuota Pesan Nusantara
Jl. Jenderal Sudirman Kav. 52-53
Jakarta 12190
Indonesia
Tax ID 01.234.567.8-901.000
billing@kuota.example
To
PT Toko Maju
Jl. Asia Afrika 8
Bandung 40111
Indonesia
Tax ID 02.111.222.3-444.000
finance@toko.example
Account toko-maju
Issued on December 1, 2026
For invoice INV-2026-000001
Period Nov 1 – 30, 2026
Time zone Asia/Jakarta
Given back IDR 1,665,000
Description Quantity Unit Price Amount (IDR)
Omnichannel 5 seat 300,000 1,500,000
Before tax IDR 1,500,000
PPN 12 % of 11/12 IDR 165,000
Total IDR 1,665,000
One seat was never used.
Credit note CN-2026-000001 Page 1 of 1
"""
